/** Streams that are encoded once: a surface's bytes go to gRPC clients as they are, and everyone else gets the router's. */

import { once } from "node:events";
import { connect as connectHttp2, constants, type ClientHttp2Stream } from "node:http2";
import { create, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { Client, credentials, type ClientReadableStream, Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { type WatchJobEventResponse, WatchJobEventResponseSchema, JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { JobError } from "../../src/core/error.js";
import type { ServerOptions } from "../../src/server.js";
import type { OpenStream, SharedStream, SharedStreamContext, Surface } from "../../src/surface.js";
import { faultsOf, http2Request, MASTER, TRANSPORTS, useFronts } from "../front.js";

const RPC = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/WatchJob";
const start = useFronts();

const eventOf = (text: string) => create(WatchJobEventResponseSchema, { object: { jobId: text } });

function messageOf(text: string): Buffer {
  const bytes = toBinary(WatchJobEventResponseSchema, eventOf(text));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** One stream as its source sees it. */
class FakeStream implements OpenStream {
  readonly queue: Uint8Array[] = [];
  /** How many messages each take gave. */
  readonly takes: number[] = [];
  ended: { readonly error?: unknown } | undefined;
  failure: unknown;
  readonly closed: Promise<void>;
  closes = 0;
  private readonly onClose: () => void;

  constructor(readonly request: Message, readonly context: SharedStreamContext) {
    let closed: () => void = () => undefined;
    this.closed = new Promise((resolve) => (closed = resolve));
    this.onClose = closed;
  }

  take(maxBytes: number): readonly Uint8Array[] {
    if (this.failure !== undefined) throw this.failure;
    const taken: Uint8Array[] = [];
    for (let bytes = 0; bytes < maxBytes; ) {
      const next = this.queue.shift();
      if (!next) break;
      taken.push(next);
      bytes += next.length;
    }
    this.takes.push(taken.length);
    return taken;
  }

  close(): void {
    this.closes += 1;
    this.onClose();
  }

  send(...texts: string[]): void {
    this.queue.push(...texts.map(messageOf));
    this.context.wake();
  }

  end(error?: unknown): void {
    this.ended = error === undefined ? {} : { error };
    this.context.wake();
  }
}

/** A server with one shared stream; `opened` resolves with each stream in turn. */
async function startShared(options: Partial<ServerOptions> = {}, onOpen: (stream: FakeStream) => void = () => undefined) {
  const streams: FakeStream[] = [];
  let tell: () => void = () => undefined;
  let byRouter = 0;
  const shared: SharedStream = {
    method: JobService.method.watchJob,
    open(request, context) {
      const stream = new FakeStream(request, context);
      onOpen(stream);
      streams.push(stream);
      tell();
      return stream;
    },
  };
  const surface: Surface = {
    name: "test",
    routes: [],
    sharedStreams: [shared],
    register(router) {
      router.rpc(JobService.method.watchJob, async function* () {
        byRouter += 1;
        yield eventOf("by the router");
      });
    },
  };
  const front = await start({ surfaces: [surface], ...options });
  const opened = async (): Promise<FakeStream> => {
    while (streams.length === 0) await new Promise<void>((resolve) => (tell = resolve));
    return streams.shift() as FakeStream;
  };
  return { ...front, front, opened, calledRouter: () => byRouter };
}

/** The stream over an HTTP/2 connection of its own, with the request that is asked for. */
function rawStream(url: string, headers: Record<string, string> = {}, body: Uint8Array = Buffer.alloc(5)): ClientHttp2Stream {
  const session = connectHttp2(url, { settings: { initialWindowSize: 65_535 } });
  session.on("error", () => undefined);
  const stream = session.request({ ":method": "POST", ":path": RPC, "content-type": "application/grpc", ...headers });
  stream.on("error", () => undefined).on("close", () => session.destroy());
  stream.end(body);
  return stream;
}

async function textOf(messages: AsyncIterable<WatchJobEventResponse>): Promise<string[]> {
  const texts: string[] = [];
  for await (const { object } of messages) texts.push(object?.jobId ?? "");
  return texts;
}

const watch = (url: string, options = {}) => createClient(JobService, TRANSPORTS["gRPC"]!(url)).watchJob({ domain: "alice" }, options);

describe("a shared stream", () => {
  it("tells its source the request and the caller, and sends its head before there is a message", async () => {
    const { url, opened } = await startShared();
    const stream = rawStream(url, {}, Buffer.from([0, 0, 0, 0, 2, 0x10, 5]));
    const [head] = (await once(stream, "response")) as [Record<string, unknown>];
    expect(head).toMatchObject({ ":status": 200, "content-type": "application/grpc+proto" });
    const { request, context, queue } = await opened();
    expect(request).toMatchObject({ timeoutSeconds: 5n });
    expect(context.actor).toEqual(MASTER);
    expect(queue).toEqual([]);
    stream.close();
  });

  it("comes in order, a burst in one piece, and ends well", async () => {
    const { url, opened } = await startShared();
    const texts = textOf(watch(url));
    const source = await opened();
    const numbers = Array.from({ length: 1000 }, (_each, i) => String(i));
    source.send("first");
    for (const number of numbers) source.send(number);
    await expect.poll(() => source.queue.length).toBe(0);
    expect(source.takes.filter((count) => count > 0).length).toBeLessThan(20);
    source.send("last");
    source.end();
    expect(await texts).toEqual(["first", ...numbers, "last"]);
    expect(source.closes).toBe(1);
  });

  it("may be woken before it is open, and end at once", async () => {
    const { url } = await startShared({}, (stream) => {
      stream.send("at once");
      stream.end();
    });
    expect(await textOf(watch(url))).toEqual(["at once"]);
  });

  it("reaches grpc-js clients, whatever compression they offer", async () => {
    const { port, opened } = await startShared();
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    const bytes = (buffer: Buffer): Buffer => buffer;
    const metadata = new Metadata();
    const call: ClientReadableStream<Buffer> = client.makeServerStreamRequest(RPC, bytes, bytes, Buffer.alloc(0), metadata);
    const got: Buffer[] = [];
    call.on("data", (message: Buffer) => got.push(message));
    const source = await opened();
    const long = "x".repeat(100_000);
    source.send("a", long);
    source.end();
    const [ended] = (await once(call, "status")) as [{ code: number }];
    expect(ended.code).toBe(status.OK);
    expect(got).toEqual([messageOf("a").subarray(5), messageOf(long).subarray(5)]);
    client.close();
  });

  it("takes nothing while its client does not read, and goes on when it does", async () => {
    const { url, opened } = await startShared();
    const stream = rawStream(url);
    await once(stream, "response");
    const source = await opened();
    const piece = "x".repeat(10_000);
    const count = 100;
    for (let i = 0; i < count; i++) source.send(piece);
    // More than the client's window lets through, so it is never written out before the client reads.
    await expect.poll(() => source.takes.filter((given) => given > 0)).toEqual([7]);
    const takes = source.takes.length;
    for (let i = 0; i < 100; i++) source.context.wake();
    await new Promise<void>((resolve) => stream.session?.ping(() => resolve()));
    expect([source.takes.length, source.queue.length]).toEqual([takes, count - 7]);
    // Others are not held up.
    const other = watch(url)[Symbol.asyncIterator]();
    const otherNext = other.next();
    (await opened()).send("other");
    expect((await otherNext).value).toMatchObject({ object: { jobId: "other" } });
    let size = 0;
    stream.on("data", (chunk: Buffer) => (size += chunk.length));
    source.end();
    await once(stream, "end");
    expect(size).toBe(count * messageOf(piece).length);
  });

  it("is closed when its client leaves, once", async () => {
    const { url, opened, front } = await startShared();
    const leave = new AbortController();
    const frames = watch(url, { signal: leave.signal })[Symbol.asyncIterator]();
    const next = frames.next();
    const source = await opened();
    leave.abort();
    await expect(next).rejects.toMatchObject({ code: Code.Canceled });
    await source.closed;
    expect(source.context.signal.aborted).toBe(true);
    source.send("too late");
    source.end(new Error("too late"));
    await http2Request(url, { ":path": "/nowhere" });
    expect([source.closes, source.takes.at(-1) ?? 0, faultsOf(front)]).toEqual([1, 0, []]);
  });

  it("is closed when its connection breaks", async () => {
    const { url, opened } = await startShared();
    const stream = rawStream(url);
    await once(stream, "response");
    const source = await opened();
    stream.session?.destroy();
    await source.closed;
  });

  it("ends at its deadline, which its source can see", async () => {
    const { url, opened } = await startShared();
    const stream = rawStream(url, { "grpc-timeout": "50m" });
    const [trailers] = (await once(stream, "trailers")) as [Record<string, unknown>];
    expect(trailers).toMatchObject({ "grpc-status": "4", "grpc-message": "the%20operation%20timed%20out" });
    const source = await opened();
    await source.closed;
    expect(source.context.signal.reason).toMatchObject({ code: Code.DeadlineExceeded });
  });

  it("ends with unavailable when the server stops, after what was ready", async () => {
    const { url, opened, server } = await startShared();
    const frames = watch(url)[Symbol.asyncIterator]();
    const first = frames.next();
    const source = await opened();
    source.send("ready");
    await first;
    const stopped = server.stop();
    await expect(frames.next()).rejects.toMatchObject({ code: Code.Unavailable, rawMessage: "the server is shutting down" });
    await source.closed;
    await stopped;
  });

  it("ends with unauthenticated when its credential does", async () => {
    let good = true;
    const { url, opened } = await startShared({
      authenticate: () => ({ kind: "Admitted", actor: MASTER, ambient: false, holds: () => good }),
      timeouts: { standing: 10 },
    });
    const frames = watch(url)[Symbol.asyncIterator]();
    const next = frames.next();
    const source = await opened();
    good = false;
    await expect(next).rejects.toMatchObject({ code: Code.Unauthenticated });
    await source.closed;
  });
});

describe("an error", () => {
  it("of the opening is told in the call's trailers", async () => {
    const { url, front } = await startShared({}, () => {
      throw new JobError("InvalidArgument", "domain: must be a domain id");
    });
    await expect(textOf(watch(url))).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage: "domain: must be a domain id" });
    expect(faultsOf(front)).toEqual([]);
  });

  it("that ends the stream is told after the messages before it", async () => {
    const { url, opened } = await startShared();
    const frames = watch(url)[Symbol.asyncIterator]();
    const first = frames.next();
    const source = await opened();
    source.send("before");
    source.end(new JobError("Unavailable", "start again, 100%"));
    expect((await first).value).toMatchObject({ object: { jobId: "before" } });
    await expect(frames.next()).rejects.toMatchObject({ code: Code.Unavailable, rawMessage: "start again, 100%" });
    expect(source.closes).toBe(1);
  });

  it("of ours is logged and not told, and ends one stream only", async () => {
    const { url, opened, front } = await startShared();
    const broken = textOf(watch(url));
    const source = await opened();
    const other = textOf(watch(url));
    const good = await opened();
    source.failure = new Error("secret detail");
    source.context.wake();
    good.send("fine");
    good.end();
    await expect(broken).rejects.toMatchObject({ code: Code.Internal, rawMessage: "internal error" });
    expect(await other).toEqual(["fine"]);
    expect(faultsOf(front).map((line) => line.err?.message)).toEqual(["secret detail"]);
  });
});

describe("the router serves", () => {
  const others = Object.entries(TRANSPORTS).filter(([name]) => name !== "gRPC");
  it.each(others)("%s", async (_name, transport) => {
    const { url, calledRouter } = await startShared();
    expect(await textOf(createClient(JobService, transport(url)).watchJob({}))).toEqual(["by the router"]);
    expect(calledRouter()).toBe(1);
  });

  it("all streams where the fast paths are off", async () => {
    const { url } = await startShared({ fastPaths: false });
    expect(await textOf(watch(url))).toEqual(["by the router"]);
  });

  it.each([
    ["no message", {}, Buffer.alloc(0), "12"],
    ["two messages", {}, Buffer.alloc(10), "12"],
    ["half a message", {}, Buffer.of(0, 0, 0, 0, 9, 10), "3"],
    ["garbage", {}, Buffer.of(0, 0, 0, 0, 1, 255), "3"],
    ["a compression that is not served", { "grpc-encoding": "br" }, Buffer.alloc(5), "12"],
    ["a deadline that is none", { "grpc-timeout": "soon" }, Buffer.alloc(5), "3"],
  ])("what is malformed: %s", async (_name, headers, body, code) => {
    const { url } = await startShared();
    const post = { ":method": "POST", ":path": RPC, "content-type": "application/grpc", ...headers };
    const { trailers } = await http2Request(url, post, body);
    expect(trailers["grpc-status"]).toBe(code);
  });

  it("nobody without a credential", async () => {
    const { url, calledRouter } = await startShared({ authenticate: () => ({ kind: "Unauthenticated" }) });
    await expect(textOf(watch(url))).rejects.toMatchObject({ code: Code.Unauthenticated });
    expect(calledRouter()).toBe(0);
  });
});

it("a client that resets in the middle of its request opens nothing", async () => {
  const { url, front } = await startShared({}, () => {
    throw new Error("was opened");
  });
  const session = connectHttp2(url);
  const stream = session.request({ ":method": "POST", ":path": RPC, "content-type": "application/grpc" });
  stream.on("error", () => undefined).write(Buffer.of(0, 0));
  await new Promise<void>((resolve) => session.ping(() => resolve()));
  stream.close(constants.NGHTTP2_CANCEL);
  await new Promise<void>((resolve) => session.ping(() => resolve()));
  expect(faultsOf(front)).toEqual([]);
  session.destroy();
});
