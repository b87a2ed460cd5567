import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { gzipSync } from "node:zlib";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, createClient } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type { ServerOptions } from "../../src/server.js";
import type { Surface } from "../../src/surface.js";
import { http2Request, MASTER, postJson, rawPost, sendRaw, TRANSPORTS, useFronts } from "../front.js";

const RPC = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/QueryJob";
const QUERY = "/api/v1/job/query";
const start = useFronts();
const transports = Object.entries(TRANSPORTS);

describe("an oversized body", () => {
  const maxBodyBytes = 1000;
  const large = JSON.stringify({ job_id: "a".repeat(2000) });

  it("is 413 on REST, with and without a length, and the connection goes on", async () => {
    const front = await start({ maxBodyBytes });
    const probe = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const known = rawPost(QUERY, large);
    const chunks = `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`;
    const chunked = rawPost(QUERY, chunks, { "transfer-encoding": "chunked" });
    for (const bytes of [known, chunked]) {
      const answer = await sendRaw(front.port, bytes + probe, "1.2.3");
      expect(answer).toMatch(/^HTTP\/1.1 413 /);
      expect(answer).toContain('{"status":{"code":11100,"message":"the body is larger than the limit of 1000 bytes"}}');
      expect(answer).toContain("1.2.3");
    }
    expect(front.jobs.calls).toEqual([]);
  });

  it("is 413 on REST over HTTP/2, also where the client goes on sending", async () => {
    const front = await start({ maxBodyBytes, timeouts: { request: 200 } });
    const session = connectHttp2(front.url);
    const stream = session.request({ ":method": "POST", ":path": QUERY, "content-type": "application/json" });
    stream.write(large);
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    expect(headers[":status"]).toBe(413);
    stream.on("error", () => undefined).resume();
    await once(stream, "close");
    session.close();
  });

  it.each(transports)("is resource_exhausted over %s", async (_name, transport) => {
    const front = await start({ maxBodyBytes });
    const client = createClient(JobService, transport(front.url));
    await expect(client.queryJob({ jobId: "a".repeat(2000) })).rejects.toMatchObject({ code: Code.ResourceExhausted });
    expect(front.jobs.calls).toEqual([]);
  });
});

describe("a credential's own bound of bodies", () => {
  const bounded: Partial<ServerOptions> = {
    maxBodyBytes: 5000,
    authenticate: (headers) => {
      const own = headers.get("token");
      return { kind: "Admitted", actor: MASTER, ambient: false, ...(own === null ? {} : { maxBodyBytes: Number(own) }) };
    },
  };

  it("is narrower than the server's, and refused in the same words", async () => {
    const front = await start(bounded);
    const statuses = async (length: number, token?: string) => {
      const answer = await postJson(front.url + QUERY, { job_id: "a".repeat(length) }, token === undefined ? {} : { token });
      return [answer.status, ((await answer.json()) as { status: { message: string } }).status.message];
    };
    expect(await statuses(2000, "1000")).toEqual([413, "the body is larger than the limit of 1000 bytes"]);
    expect(await statuses(6000, "9000")).toEqual([413, "the body is larger than the limit of 5000 bytes"]);
    expect((await statuses(500, "1000"))[0]).toBe(200);
    expect((await statuses(2000))[0]).toBe(200);
  });

  it.each(transports)("holds over %s, for that credential alone", async (_name, transport) => {
    const front = await start(bounded);
    const client = createClient(JobService, transport(front.url));
    const query = (length: number, token?: string) =>
      client.queryJob({ jobId: "a".repeat(length) }, token === undefined ? {} : { headers: { token } });
    await expect(query(2000, "1000")).rejects.toMatchObject({ code: Code.ResourceExhausted });
    expect(front.jobs.calls).toEqual([]);
    await expect(query(6000, "9000")).rejects.toMatchObject({ code: Code.ResourceExhausted });
    expect((await query(500, "1000")).status?.code).toBe(11202);
    expect((await query(2000)).status?.code).toBe(11202);
  });

  it("counts what a compressed body holds", async () => {
    const front = await start(bounded);
    const body = gzipSync(JSON.stringify({ job_id: "a".repeat(2000) }));
    const headers = { "content-type": "application/json", "content-encoding": "gzip", token: "1000" };
    expect(body.byteLength).toBeLessThan(1000);
    const answer = await fetch(front.url + RPC, { method: "POST", headers, body });
    expect(await answer.json()).toMatchObject({ code: "resource_exhausted" });
  });
});

describe("a body of somebody without a credential", () => {
  const strangers: Partial<ServerOptions> = { authenticate: () => ({ kind: "Unauthenticated" }) };
  const kib = (length: number): string => JSON.stringify({ service: "", progress: 0.5, junk: "a".repeat(length * 1024) });

  it.each(["/grpc.health.v1.Health/Check", "/v1/attempts/attempt-1/progress"])("is short: %s", async (path) => {
    const front = await start(strangers);
    expect((await postJson(front.url + path, kib(63))).status).toBe(200);
    expect((await postJson(front.url + path, kib(64))).status).toBe(path.startsWith("/v1") ? 413 : 429);
  });

  it("is shorter still where the server bounds every body so", async () => {
    const front = await start({ ...strangers, maxBodyBytes: 1000 });
    expect((await postJson(`${front.url}/v1/attempts/attempt-1/progress`, kib(1))).status).toBe(413);
  });
});

describe("JSON that is nested too deep", () => {
  const deep = `{"tasks":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;

  it("is an error that says so", async () => {
    const { url, jobs } = await start();
    const rest = await postJson(url + QUERY, deep);
    expect([rest.status, await rest.json()]).toEqual([
      200,
      { status: { code: 11101, message: "the JSON body is nested deeper than 64 levels" } },
    ]);
    const connect = await postJson(url + RPC, deep);
    expect([connect.status, await connect.json()]).toEqual([
      400,
      { code: "invalid_argument", message: "JSON is nested deeper than 64 levels" },
    ]);
    expect(jobs.calls).toEqual([]);
  });
});

describe("a binary message with too many values", () => {
  const LIMIT = 250_000;
  const MESSAGE = "holds more than 250000 values";
  /** Empty tasks of CreateJob; elsewhere a field that nobody knows. */
  const records = (count: number): Buffer => Buffer.alloc(2 * count, Buffer.of(0x2a, 0));
  const enveloped = (message: Buffer, flags = 0): Buffer => {
    const prefix = Buffer.of(flags, 0, 0, 0, 0);
    prefix.writeUInt32BE(message.length, 1);
    return Buffer.concat([prefix, message]);
  };
  const zipped = (message: Buffer): Buffer => enveloped(gzipSync(message), 1);
  const path = (method: string): string => RPC.replace("QueryJob", method);

  /** A POST on a connection of its own, of either version of HTTP; all that came back, in one text. */
  async function answerTo(url: string, version: 1 | 2, target: string, headers: Record<string, string>, body: Buffer): Promise<string> {
    if (version === 1) {
      const answer = await fetch(url + target, { method: "POST", headers, body: new Uint8Array(body) });
      return `${answer.status} ${await answer.text()}`;
    }
    const answer = await http2Request(url, { ":method": "POST", ":path": target, ...headers }, body);
    const { trailers } = answer;
    return `${String(answer.status)} ${answer.text} ${String(trailers["grpc-status"])} ${decodeURIComponent(String(trailers["grpc-message"]))}`;
  }

  const GRPC = "application/grpc";
  const WEB = "application/grpc-web+proto";
  const PROTO = "application/proto";
  const STREAM = "application/connect+proto";
  const plain = (type: string) => ({ "content-type": type });
  const ways: readonly [string, 1 | 2, string, Record<string, string>, (message: Buffer) => Buffer, string][] = [
    ["CreateJob over gRPC", 2, "CreateJob", plain(GRPC), enveloped, "200  3 the message"],
    ["CreateJob over gRPC, compressed", 2, "CreateJob", { ...plain(GRPC), "grpc-encoding": "gzip" }, zipped, "200  3 the message"],
    ["CreateJob over gRPC by another name", 2, "CreateJob", plain("Application/gRPC+Proto"), enveloped, "200  3 the message"],
    ["unknown fields of QueryJob over gRPC", 2, "QueryJob", plain(GRPC), enveloped, "200  3 the message"],
    ["WatchJob over gRPC", 2, "WatchJob", plain(GRPC), enveloped, "200  3 the message"],
    ["WatchJob over gRPC, compressed", 2, "WatchJob", { ...plain(GRPC), "grpc-encoding": "gzip" }, zipped, "200  3 the message"],
    ["CreateJob over Connect", 2, "CreateJob", plain(PROTO), (message) => message, '400 {"code":"invalid_argument","message":"the message'],
    ["CreateJob over Connect and HTTP/1.1", 1, "CreateJob", plain(PROTO), (message) => message, '400 {"code":"invalid_argument","message":"the message'],
    ["CreateJob over Connect, compressed", 1, "CreateJob", { ...plain(PROTO), "content-encoding": "gzip" }, gzipSync, '400 {"code":"invalid_argument","message":"the message'],
    ["WatchJob over Connect", 2, "WatchJob", plain(STREAM), enveloped, '"error":{"code":"invalid_argument","message":"the message'],
    ["WatchJob over Connect, compressed", 1, "WatchJob", { ...plain(STREAM), "connect-content-encoding": "gzip" }, zipped, '"error":{"code":"invalid_argument","message":"the message'],
    ["CreateJob over gRPC-Web", 1, "CreateJob", plain(WEB), enveloped, "grpc-message: the%20message"],
    ["CreateJob over gRPC-Web, compressed", 2, "CreateJob", { ...plain(WEB), "grpc-encoding": "gzip" }, zipped, "grpc-message: the%20message"],
    ["WatchJob over gRPC-Web", 2, "WatchJob", plain(WEB), enveloped, "grpc-message: the%20message"],
  ];

  it.each(ways)("is refused: %s", async (_name, version, method, headers, framed, says) => {
    const { url, jobs } = await start();
    const answer = await answerTo(url, version, path(method), headers, framed(records(LIMIT + 1)));
    expect(answer).toContain(says.includes("%20") ? `${says}%20${encodeURIComponent(MESSAGE)}` : `${says} ${MESSAGE}`);
    if (says.includes("%20")) expect(answer).toContain("grpc-status: 3\r\n");
    expect(jobs.calls).toEqual([]);
  });

  it.each(ways.filter(([, , method]) => method !== "WatchJob"))("is taken up to the bound, as for %s", async (_name, version, _method, headers, framed) => {
    const { url } = await start();
    const answer = await answerTo(url, version, path("QueryJob"), headers, framed(records(LIMIT)));
    expect(answer).toContain("job_id: must not be empty");
  });

  it.each(["create", "query", "watch"])("is refused on REST: %s", async (call) => {
    const { url, jobs } = await start();
    const headers = { "content-type": "application/x-protobuf" };
    const answer = await answerTo(url, 1, `/api/v1/job/${call}`, headers, records(LIMIT + 1));
    expect(answer).toContain(`the protobuf body ${MESSAGE}`);
    expect(jobs.calls).toEqual([]);
  });

  it("is refused where what is wrong with it comes after", async () => {
    const { url } = await start();
    const broken = Buffer.concat([records(LIMIT + 1), Buffer.from("ffffffff", "hex")]);
    expect(await answerTo(url, 2, path("CreateJob"), plain(GRPC), enveloped(broken))).toContain(`3 the message ${MESSAGE}`);
  });

  it("is refused where it comes after another", async () => {
    const { url } = await start();
    const body = Buffer.concat([enveloped(records(1)), enveloped(records(LIMIT + 1))]);
    expect(await answerTo(url, 2, path("CreateJob"), plain(GRPC), body)).toContain(`3 the message ${MESSAGE}`);
  });

  it("cannot come in the URL", async () => {
    const queryByGet = { ...JobService.method.queryJob, idempotency: MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS };
    const surface: Surface = { name: "test", routes: [], register: (router) => void router.rpc(queryByGet, () => ({})) };
    await expect(start({ surfaces: [surface] })).rejects.toThrow(/QueryJob may be called by GET/);
  });
});

describe("a deadline that no timer can hold", () => {
  it("is shortened rather than refused or fired at once", async () => {
    const front = await start();
    const year = await postJson(front.url + RPC, { job_id: "a" }, { "connect-timeout-ms": "9999999999" });
    expect([year.status, await year.json()]).toMatchObject([200, { status: { code: 11202 } }]);
    const { trailers } = await http2Request(
      front.url,
      {
        ":method": "POST",
        ":path": RPC,
        "content-type": "application/grpc",
        "grpc-timeout": "99999999H",
        te: "trailers",
      },
      Buffer.alloc(5),
    );
    expect(trailers["grpc-status"]).toBe("0");
  });
});
