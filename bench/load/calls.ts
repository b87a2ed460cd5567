/** A part: unary calls, so many in flight, each followed by the next as soon as its answer is there. */

import { answer } from "../part.js";
import { percentile } from "../statistics.js";
import { saysSuccess } from "./grpc.js";
import { encodePost, Http1Connection } from "./http1.js";
import { encodeHead, Http2Connection } from "./http2.js";
import { Template } from "./messages.js";

export interface Target {
  readonly protocol: "grpc" | "json";
  readonly url: string;
  readonly path: string;
  /** One message with its envelope (gRPC), or one JSON body; see messages.ts. */
  readonly body: Uint8Array;
  /** Calls at once; over HTTP/1.1 each has a connection of its own, over HTTP/2 four connections share them. */
  readonly inFlight: number;
}

/** Which ids the calls name: one after the other, or any below a number. */
export type Ids = { readonly from: number } | { readonly below: number };

export interface RunOptions {
  readonly ids: Ids;
  /** Domains of which the calls take one after the other. */
  readonly domains?: number;
  /** Until the time is over, or so many calls are done. */
  readonly seconds?: number;
  readonly calls?: number;
  /** Calls a second at a steady pace, in place of as many as can be. One that finds no free lane waits for one. */
  readonly perSecond?: number;
}

export interface RunResult {
  readonly calls: number;
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

const HTTP2_CONNECTIONS = 4;
const GRPC_HEADERS = { "content-type": "application/grpc", te: "trailers", "user-agent": "muster-bench" };

type Call = (body: Template, id: number, domain: number, done: (failure: string | undefined) => void) => void;

let template: Template | undefined;
let lanes: Call[] = [];
let close: () => void = () => undefined;

async function open(target: Target): Promise<void> {
  close();
  if (target.protocol === "grpc") {
    template = new Template(Buffer.from(target.body));
    const head = encodeHead(target.url, target.path, GRPC_HEADERS);
    const connections = await Promise.all(
      Array.from({ length: Math.min(HTTP2_CONNECTIONS, target.inFlight) }, () => Http2Connection.open(target.url)),
    );
    lanes = Array.from({ length: target.inFlight }, (_, i) => grpcCall(at(connections, i % connections.length), head));
    close = () => connections.forEach((connection) => connection.close());
    return;
  }
  template = new Template(encodePost(target.url, target.path, Buffer.from(target.body)));
  const connections = await Promise.all(Array.from({ length: target.inFlight }, () => Http1Connection.open(target.url)));
  lanes = connections.map(jsonCall);
  close = () => connections.forEach((connection) => connection.close());
}

function grpcCall(connection: Http2Connection, head: Buffer): Call {
  let answered: Buffer = Buffer.alloc(0);
  let done: (failure: string | undefined) => void = () => undefined;
  const listener = {
    data(bytes: Buffer) {
      answered = answered.length === 0 ? Buffer.from(bytes) : Buffer.concat([answered, bytes]);
    },
    end() {
      const good = saysSuccess(answered);
      const text = good ? undefined : `an answer without success: "${answered.toString("latin1")}"`;
      answered = Buffer.alloc(0);
      done(text);
    },
    fail(reason: string) {
      done(reason);
    },
  };
  return (body, id, domain, whenDone) => {
    done = whenDone;
    connection.request(head, body.with(id, domain), listener);
  };
}

function jsonCall(connection: Http1Connection): Call {
  return (body, id, domain, done) =>
    connection.request(
      body.with(id, domain),
      ({ status, body: text }) => {
        const good = status === 200 && !/"code":\s*[1-9]/.test(text.slice(0, 40));
        done(good ? undefined : `status ${status}: ${text}`);
      },
      done,
    );
}

function run({ ids, domains = 1, seconds = Infinity, calls: most = Infinity, perSecond = Infinity }: RunOptions): Promise<RunResult> {
  const times: number[] = [];
  const begin = performance.now();
  const until = begin + seconds * 1000;
  let asked = 0;
  let open = 0;
  return new Promise((resolve, reject) => {
    if (!template) return reject(new Error("no target is open"));
    const body = template;
    const next = (call: Call): void => {
      const now = performance.now();
      if (asked >= most || now >= until) {
        if (open === 0) resolve(resultOf(times, performance.now() - begin));
        return;
      }
      if (asked >= ((now - begin) / 1000) * perSecond) return void setTimeout(next, 1, call);
      const id = "from" in ids ? ids.from + asked : Math.floor(Math.random() * ids.below);
      const domain = asked % domains;
      asked += 1;
      open += 1;
      const sent = performance.now();
      call(body, id, domain, (failure) => {
        open -= 1;
        if (failure !== undefined) return reject(new Error(failure));
        times.push(performance.now() - sent);
        next(call);
      });
    };
    for (const call of lanes) next(call);
  });
}

function resultOf(times: readonly number[], ms: number): RunResult {
  return { calls: times.length, perSecond: times.length / (ms / 1000), p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`no item ${index}`);
  return item;
}

const methods = { open, run };

export type CallsLoad = typeof methods;
answer(methods);
