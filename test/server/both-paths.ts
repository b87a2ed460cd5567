/** Two servers that differ in nothing but the way of plain unary calls, and clients that send them the same bytes. */

import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { Agent, request as requestHttp1 } from "node:http";
import { type HandlerContext } from "@connectrpc/connect";
import { afterAll, beforeAll } from "vitest";
import type { ServerOptions } from "../../src/server.js";
import { actorKey, type Surface } from "../../src/surface.js";
import { type Front, startFront } from "../front.js";

export interface RawCall {
  readonly http: 1 | 2;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent one by one. */
  readonly chunks: readonly Uint8Array[];
}

/** All that a client sees of an answer. */
export interface RawAnswer {
  readonly status: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly body: string;
  /** Set where the stream was broken off. */
  readonly broken?: string;
}

export class Client {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  private readonly session: ClientHttp2Session;

  constructor(private readonly port: number) {
    this.session = connectHttp2(`http://127.0.0.1:${port}`);
    this.session.on("error", () => undefined);
  }

  send(call: RawCall): Promise<RawAnswer> {
    return call.http === 1 ? this.overHttp1(call) : this.overHttp2(call);
  }

  close(): void {
    this.agent.destroy();
    this.session.destroy();
  }

  private overHttp1({ method, path, headers, chunks }: RawCall): Promise<RawAnswer> {
    return new Promise((resolve) => {
      const request = requestHttp1({ port: this.port, host: "127.0.0.1", agent: this.agent, method, path, headers });
      request.on("error", (error) => resolve({ status: 0, headers: {}, trailers: {}, body: "", broken: error.message }));
      request.on("response", (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("close", () => {
          const body = Buffer.concat(parts).toString("latin1");
          const answer = { status: response.statusCode, headers: response.headers, trailers: response.trailers, body };
          resolve(response.complete ? answer : { ...answer, broken: "incomplete" });
        });
      });
      for (const chunk of chunks) request.write(chunk);
      request.end();
    });
  }

  private overHttp2({ method, path, headers, chunks }: RawCall): Promise<RawAnswer> {
    return new Promise((resolve) => {
      const stream = this.session.request({ ":method": method, ":path": path, ...headers });
      let head: IncomingHttpHeaders = {};
      let trailers: IncomingHttpHeaders = {};
      const parts: Buffer[] = [];
      stream.on("response", (received) => (head = received));
      stream.on("trailers", (received) => (trailers = received));
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("error", () => undefined);
      stream.on("close", () => {
        const { ":status": status, ...fields } = head;
        const answer = { status, headers: { ...fields }, trailers: { ...trailers }, body: Buffer.concat(parts).toString("latin1") };
        resolve(stream.rstCode === 0 ? answer : { ...answer, broken: `reset ${stream.rstCode}` });
      });
      for (const chunk of chunks) stream.write(chunk);
      stream.end();
    });
  }
}

/** What a handler was told about its call. */
export function told(context: HandlerContext, ownPort: number): unknown {
  return {
    service: context.service.typeName,
    method: context.method.name,
    requestMethod: context.requestMethod,
    protocol: context.protocolName,
    timeoutMs: context.timeoutMs(),
    url: context.url.replace(String(ownPort), "PORT"),
    header: [...context.requestHeader].map(([name, value]) => [name, value.replace(String(ownPort), "PORT")]),
    actor: context.values.get(actorKey),
  };
}

export interface Pair {
  /** The same call to both; what the client sees, without the date, and what the handlers were told. */
  call(call: RawCall): Promise<readonly [fast: Seen, router: Seen]>;
}

export interface Seen {
  readonly answer: RawAnswer;
  readonly told: readonly unknown[];
}

interface Side {
  readonly front: Front;
  readonly client: Client;
  readonly log: unknown[];
}

/** `surface` is given what takes down what its handlers were told. */
export function usePair(surface: (tell: (context: HandlerContext) => void) => Surface, options: Partial<ServerOptions>): Pair {
  const sides: Side[] = [];
  beforeAll(async () => {
    for (const fastPaths of [true, false]) {
      const log: unknown[] = [];
      let port = 0;
      const front = await startFront({ ...options, fastPaths, surfaces: [surface((context) => log.push(told(context, port)))] });
      port = front.port;
      sides.push({ front, client: new Client(port), log });
    }
  });
  afterAll(async () => {
    for (const { front, client } of sides) {
      client.close();
      await front.server.stop();
    }
  });
  return {
    async call(call) {
      const [fast, router] = await Promise.all(
        sides.map(async ({ client, log, front }): Promise<Seen> => {
          log.length = 0;
          front.logged.length = 0;
          const answer = await client.send(call);
          const { date: _date, ...headers } = answer.headers;
          const faults = front.logged.map(({ msg, err }) => ({ msg, err: err?.message }));
          return { answer: { ...answer, headers }, told: [...log, ...faults] };
        }),
      );
      if (!fast || !router) throw new Error("two sides were started");
      return [fast, router];
    },
  };
}
