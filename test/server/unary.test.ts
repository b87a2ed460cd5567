/** Unary calls in what the fuzz of both ways leaves out: time, clients that leave, and bodies that are no messages. */

import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { gzipSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type HandlerContext } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { JobService, QueryJobResponseSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type { Surface } from "../../src/surface.js";
import { faultsOf, frontDefaults, http2Request, postJson, rawPost, sendRaw, TRANSPORTS, useFronts } from "../front.js";

const SERVICE = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService";
const RPC = `${SERVICE}/QueryJob`;
const start = useFronts();

/** A server whose QueryJob does what it is told, and a promise of each of its calls' contexts. */
async function startWith(handle: (context: HandlerContext) => Promise<unknown>) {
  let entered: (context: HandlerContext) => void = () => undefined;
  const called = new Promise<HandlerContext>((resolve) => (entered = resolve));
  const surface: Surface = {
    name: "test",
    routes: [],
    register(router) {
      router.rpc(JobService.method.queryJob, async (_request, context) => {
        entered(context);
        await handle(context);
        return create(QueryJobResponseSchema);
      });
    },
  };
  return { front: await start({ surfaces: [surface] }), called };
}

/** Rejects with the reason as soon as the signal aborts. */
function aborted({ signal }: HandlerContext): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

describe.each(Object.entries(TRANSPORTS))("over %s", (_name, transport) => {
  it("a deadline aborts the handler's signal, and the client is told", async () => {
    const { front, called } = await startWith(aborted);
    const client = createClient(JobService, transport(front.url));
    // Twice as long at the client, so that the server's answer is what it gets.
    const headers = { "grpc-timeout": "50m", "connect-timeout-ms": "50" };
    const error = ConnectError.from(await client.queryJob({}, { headers }).catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: Code.DeadlineExceeded, rawMessage: "the operation timed out" });
    expect((await called).signal.reason).toMatchObject({ code: Code.DeadlineExceeded });
  });

  it("a deadline ends a call whose handler does not look at its signal, and not what it has begun", async () => {
    let release: () => void = () => undefined;
    let written = false;
    const { front, called } = await startWith(async () => {
      await new Promise<void>((resolve) => (release = resolve));
      written = true;
      throw new Error("too late to be told");
    });
    const client = createClient(JobService, transport(front.url));
    const headers = { "grpc-timeout": "50m", "connect-timeout-ms": "50" };
    const error = ConnectError.from(await client.queryJob({}, { headers }).catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: Code.DeadlineExceeded, rawMessage: "the operation timed out" });
    const { signal } = await called;
    expect([signal.aborted, written, faultsOf(front)]).toEqual([true, false, []]);
    release();
    await new Promise((resolve) => setImmediate(resolve));
    expect([written, faultsOf(front)]).toMatchObject([true, [{ err: { message: "too late to be told" } }]]);
  });

  it("a call whose deadline has passed does nothing", async () => {
    let calls = 0;
    const { front } = await startWith(async () => void (calls += 1));
    const client = createClient(JobService, transport(front.url));
    const headers = { "grpc-timeout": "0m", "connect-timeout-ms": "0" };
    const error = ConnectError.from(await client.queryJob({}, { headers }).catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: Code.DeadlineExceeded, rawMessage: "the operation timed out" });
    expect(calls).toBe(0);
  });

  it("a client that leaves aborts the handler's signal", async () => {
    let reason: Promise<unknown> = Promise.resolve();
    const { front, called } = await startWith((context) => {
      const left = aborted(context);
      reason = left.catch((thrown: unknown) => thrown);
      return left;
    });
    const leave = new AbortController();
    const answer = createClient(JobService, transport(front.url)).queryJob({}, { signal: leave.signal });
    const { signal } = await called;
    expect(signal.aborted).toBe(false);
    leave.abort();
    await expect(answer).rejects.toMatchObject({ code: Code.Canceled });
    expect(await reason).toBeInstanceOf(Error);
    expect(signal.aborted).toBe(true);
  });

  it("a server that stops aborts the handler's signal, and the client is told", async () => {
    const { front, called } = await startWith(aborted);
    const answer = createClient(JobService, transport(front.url)).queryJob({});
    await called;
    const stopped = front.server.stop();
    await expect(answer).rejects.toMatchObject({ code: Code.Unavailable, rawMessage: "the server is shutting down" });
    await stopped;
  });

  it("a signal that is asked for late is aborted already, and says why", async () => {
    let release: () => void = () => undefined;
    const { front, called } = await startWith(() => new Promise<void>((resolve) => (release = resolve)));
    const answer = createClient(JobService, transport(front.url)).queryJob({}).catch((thrown: unknown) => thrown);
    const context = await called;
    const stopped = front.server.stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(context.signal.reason).toMatchObject({ code: Code.Unavailable });
    release();
    expect(await answer).toMatchObject({ $typeName: QueryJobResponseSchema.typeName });
    await stopped;
  });
});

describe("the way without the router", () => {
  const surface = (seen: (context: HandlerContext) => void): Surface => ({
    name: "test",
    routes: [],
    register(router) {
      router.rpc(JobService.method.queryJob, (_request, context) => {
        seen(context);
        return {};
      });
    },
  });
  /** The router makes all parts of a context at once; the other way makes them when they are asked for. */
  const isRouters = (context: HandlerContext): boolean => Object.hasOwn(context, "requestHeader");
  const json = Buffer.from("{}");
  const enveloped = Buffer.alloc(5);
  const post = { ":method": "POST", ":path": RPC };

  it.each([
    ["gRPC", { "content-type": "application/grpc" }, enveloped, false],
    ["gRPC from a client that takes gzip", { "content-type": "application/grpc", "grpc-accept-encoding": "gzip" }, enveloped, false],
    ["gRPC with a deadline", { "content-type": "application/grpc+proto", "grpc-timeout": "5S" }, enveloped, false],
    ["Connect JSON", { "content-type": "application/json" }, json, false],
    ["Connect JSON from a browser", { "content-type": "application/json", "accept-encoding": "gzip, br" }, json, false],
    ["Connect proto", { "content-type": "application/proto" }, Buffer.alloc(0), false],
    ["gRPC-Web", { "content-type": "application/grpc-web+proto" }, enveloped, true],
    ["gRPC with JSON", { "content-type": "application/grpc+json" }, Buffer.concat([Buffer.of(0, 0, 0, 0, 2), json]), true],
    ["a compressed request", { "content-type": "application/json", "content-encoding": "gzip" }, gzipSync(json), true],
  ])("serves what is plain, and only that: %s", async (_name, headers, body, byRouter) => {
    const contexts: HandlerContext[] = [];
    const { url } = await start({ surfaces: [surface((context) => contexts.push(context))] });
    expect((await http2Request(url, { ...post, ...headers }, body)).status).toBe(200);
    expect(contexts.map(isRouters)).toEqual([byRouter || !frontDefaults.fastPaths]);
  });

  it("serves HTTP/1.1 as well", async () => {
    const contexts: HandlerContext[] = [];
    const { url } = await start({ surfaces: [surface((context) => contexts.push(context))] });
    await postJson(url + RPC, {});
    expect(contexts.map(isRouters)).toEqual([!frontDefaults.fastPaths]);
  });
});

describe("answers over one connection of HTTP/1.1", () => {
  /** Answers with `message`, once `hold` has resolved. */
  const answering = (message: string, hold: (jobId: string) => Promise<unknown> = async () => undefined): Surface => ({
    name: "test",
    routes: [],
    register(router) {
      router.rpc(JobService.method.queryJob, async ({ jobId }) => {
        await hold(jobId);
        return { status: { message }, data: { jobId } };
      });
    },
  });
  const ask = (jobId: string, headers?: Record<string, string>): string => rawPost(RPC, JSON.stringify({ job_id: jobId }), headers);
  const bodiesOf = (received: string): unknown[] =>
    received
      .split(/HTTP\/1\.1 200 OK\r\n/)
      .slice(1)
      .map((answer) => JSON.parse(answer.slice(answer.indexOf("\r\n\r\n"))) as unknown);

  it.each(["short", "l".repeat(100_000), "l\u00f6ng".repeat(20_000)])("come in the order of the requests, however they are done", async (message) => {
    let begun: () => void = () => undefined;
    const lastBegun = new Promise<void>((resolve) => (begun = resolve));
    // The first waits for the last to begin, so the others are done before it.
    const hold = async (jobId: string): Promise<void> => {
      if (jobId === "last") begun();
      if (jobId === "first") await lastBegun;
    };
    const { port } = await start({ surfaces: [answering(message, hold)] });
    const received = await sendRaw(port, ask("first") + ask("second") + ask("last", { connection: "close" }));
    const said = { code: 0, message: Buffer.from(message).toString("latin1") };
    expect(bodiesOf(received)).toMatchObject(["first", "second", "last"].map((jobId) => ({ status: said, data: { job_id: jobId } })));
  });

  it("come whole to a client that reads late", async () => {
    const message = "m".repeat(20_000_000);
    const { port } = await start({ surfaces: [answering(message)] });
    const socket = connectTcp(port, "127.0.0.1");
    socket.pause();
    // The answer that has begun fills what lies between both ends; the next has to wait behind it.
    socket.write(ask("first") + ask("last", { connection: "close" }));
    await once(socket, "readable");
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const said = { status: { message } };
    expect(bodiesOf(Buffer.concat(chunks).toString("latin1"))).toMatchObject([said, said]);
  });
});

describe("a body that is no message", () => {
  const garbage = Buffer.from("ffffffff", "hex");
  const enveloped = Buffer.concat([Buffer.of(0, 0, 0, 0, garbage.length), garbage]);

  it("is the client's fault over Connect", async () => {
    const { url, jobs } = await start();
    const answer = await fetch(url + RPC, { method: "POST", headers: { "content-type": "application/proto" }, body: garbage });
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { code: "invalid_argument", message: expect.stringMatching(/^parse binary: /) as unknown },
    ]);
    expect(jobs.calls).toEqual([]);
  });

  it.each(["QueryJob", "WatchJob"])("is the client's fault over gRPC, for %s", async (method) => {
    const { url } = await start();
    const headers = { ":method": "POST", ":path": `${SERVICE}/${method}`, "content-type": "application/grpc" };
    const { trailers } = await http2Request(url, headers, enveloped);
    expect([trailers["grpc-status"], trailers["grpc-message"]]).toEqual(["3", expect.stringMatching(/^parse%20binary/)]);
  });

  it.each(["QueryJob", "WatchJob"])("is the client's fault over gRPC-Web, for %s", async (method) => {
    const { url } = await start();
    const headers = { "content-type": "application/grpc-web+proto" };
    const answer = await fetch(`${url}${SERVICE}/${method}`, { method: "POST", headers, body: enveloped });
    const frame = Buffer.from(await answer.arrayBuffer());
    expect(frame[0]).toBe(0x80);
    expect(frame.readUInt32BE(1)).toBe(frame.length - 5);
    expect(frame.toString("latin1", 5)).toMatch(/^grpc-message: parse%20binary.*\r\ngrpc-status: 3\r\n$/);
  });

  it("is the client's fault where it comes compressed", async () => {
    const { url } = await start();
    const headers = { "content-type": "application/proto", "content-encoding": "gzip" };
    const answer = await fetch(url + RPC, { method: "POST", headers, body: gzipSync(garbage) });
    expect([answer.status, await answer.json()]).toMatchObject([400, { code: "invalid_argument" }]);
  });
});

describe("a client that breaks off in the middle of a body", () => {
  it("over HTTP/2 gets nothing done and leaves the connection usable", async () => {
    const { url, jobs, logged } = await start();
    const session = connectHttp2(url);
    const headers = { ":method": "POST", ":path": RPC, "content-type": "application/grpc" };
    const stream = session.request(headers);
    stream.on("error", () => undefined).write(Buffer.of(0, 0, 0, 0, 9));
    await new Promise<void>((resolve) => session.ping(() => resolve()));
    stream.close(constants.NGHTTP2_CANCEL);
    const other = session.request(headers);
    other.resume().end(Buffer.alloc(5));
    const trailers = await new Promise<Record<string, unknown>>((resolve) => other.on("trailers", resolve));
    expect(trailers["grpc-status"]).toBe("0");
    expect(jobs.calls).toEqual([]);
    expect(logged).toEqual([]);
    session.close();
  });

  it("over HTTP/1.1 gets nothing done", async () => {
    const { port, url, jobs, logged } = await start();
    const socket = connectTcp(port, "127.0.0.1", () => socket.write(rawPost(RPC, "{", { "content-length": "100" })));
    await fetch(`${url}/probe`);
    socket.destroy();
    await fetch(`${url}/probe`);
    expect(jobs.calls).toEqual([]);
    expect(logged).toEqual([]);
  });
});
