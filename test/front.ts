/** The front door with fakes behind it, and clients for it. */

import { connect as connectHttp2, type SecureClientSessionOptions } from "node:http2";
import { connect as connectTcp } from "node:net";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import type { Transport } from "@connectrpc/connect";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterEach } from "vitest";
import type { Actor } from "../src/core/job.js";
import { createServer, type ServerOptions } from "../src/server.js";
import { createKusciaSurface } from "../src/surfaces/kuscia/surface.js";
import { createKylinSurface } from "../src/surfaces/kylin/surface.js";
import { createMusterSurface } from "../src/surfaces/muster/surface.js";
import { createSystemSurface } from "../src/surfaces/system/surface.js";
import { FakeHub, FakeImages, FakeJobs, FakeLogs } from "./fakes.js";

export const MASTER: Actor = { role: "master", domain: null };

/** Lines that the server has logged, as objects. */
export interface LogLine {
  readonly msg: string;
  readonly err?: { readonly message: string };
}

/** What every front of a test file has, unless told otherwise. */
export const frontDefaults: { fastPaths: boolean } = { fastPaths: true };

export async function startFront(overrides: Partial<ServerOptions> = {}) {
  const jobs = new FakeJobs();
  const images = new FakeImages();
  const hub = new FakeHub();
  const logs = new FakeLogs();
  const metrics = new Registry();
  const logged: LogLine[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void logged.push(JSON.parse(line) as LogLine) });
  const server = createServer({
    listen: { host: "127.0.0.1", port: 0 },
    surfaces: [
      createSystemSurface({ jobs, metrics, log }),
      createKusciaSurface({ jobs, images, hub, log, version: "1.2.3" }),
      createKylinSurface({ jobs, logs, now: Date.now, version: "1.2.3", log }),
      createMusterSurface({ jobs, logs, now: Date.now, log }),
    ],
    authenticate: () => ({ kind: "Admitted", actor: MASTER, ambient: true }),
    maxBodyBytes: 1024 * 1024,
    log,
    ...frontDefaults,
    ...overrides,
  });
  const { port } = await server.start();
  const url = `http://127.0.0.1:${port}`;
  return { server, jobs, images, hub, logs, metrics, logged, log, port, url };
}

/** For a test file that starts fronts of its own; each is stopped after its test. */
export function useFronts(): (overrides?: Partial<ServerOptions>) => Promise<Front> {
  const open: Front[] = [];
  afterEach(async () => {
    for (const front of open.splice(0)) await front.server.stop();
  });
  return async (overrides) => {
    const front = await startFront(overrides);
    open.push(front);
    return front;
  };
}

/** What was logged as a fault. */
export function faultsOf(front: Front): LogLine[] {
  return front.logged.filter((line) => line.err);
}

export type Front = Awaited<ReturnType<typeof startFront>>;

/** Every protocol over every version of HTTP that carries it. */
export const TRANSPORTS: Readonly<Record<string, (baseUrl: string) => Transport>> = {
  gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
  "gRPC-Web over HTTP/1.1": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  "gRPC-Web over HTTP/2": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
  "Connect JSON over HTTP/1.1": (baseUrl) => connectTransport(baseUrl, "1.1", false),
  "Connect JSON over HTTP/2": (baseUrl) => connectTransport(baseUrl, "2", false),
  "Connect proto over HTTP/1.1": (baseUrl) => connectTransport(baseUrl, "1.1", true),
  "Connect proto over HTTP/2": (baseUrl) => connectTransport(baseUrl, "2", true),
};

function connectTransport(baseUrl: string, httpVersion: "1.1" | "2", useBinaryFormat: boolean): Transport {
  return createConnectTransport({ baseUrl, httpVersion, useBinaryFormat });
}

/** POSTs JSON as a client does that knows the API. */
export function postJson(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** The bytes of a POST of JSON over HTTP/1.1, with its length unless told otherwise. */
export function rawPost(path: string, body: string, headers: Record<string, string> = {}): string {
  const framed = "transfer-encoding" in headers || "content-length" in headers;
  const length = framed ? {} : { "content-length": String(body.length) };
  const all = { host: "localhost", "content-type": "application/json", ...length, ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}

/** Sends bytes as they are and gives back all that comes until the server closes, or until `until` has come. */
export function sendRaw(port: number, bytes: string, until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connectTcp(port, "127.0.0.1", () => socket.write(bytes));
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      received += chunk;
      if (until !== undefined && received.includes(until)) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(received));
  });
}

/** Reads a stream to its end. */
export async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _message of messages);
}

/** JSON objects of a response, one a line. */
export async function* readLines(response: Response): AsyncGenerator {
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield JSON.parse(text.slice(0, end)) as unknown;
      text = text.slice(end + 1);
    }
  }
}

type HeaderMap = Readonly<Record<string, unknown>>;

/** One request on an HTTP/2 connection of its own. Rejects where the stream ends without an answer. */
export async function http2Request(
  url: string,
  headers: Record<string, string>,
  body?: Uint8Array,
  options: SecureClientSessionOptions = {},
): Promise<{ status: unknown; text: string; headers: HeaderMap; trailers: HeaderMap }> {
  const session = connectHttp2(url, options);
  session.on("error", () => undefined);
  try {
    const stream = session.request(headers);
    let answer: HeaderMap = {};
    let trailers: HeaderMap = {};
    stream.on("response", (received) => (answer = received));
    stream.on("trailers", (received) => (trailers = received));
    stream.end(body);
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    if (answer[":status"] === undefined) throw new Error("the stream ended without an answer");
    return { status: answer[":status"], text, headers: answer, trailers };
  } finally {
    session.close();
  }
}
