import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from "node:net";
import { describe, expect, it } from "vitest";
import { definitionOf, viewOf } from "../fakes.js";
import { faultsOf, postJson, rawPost, readLines, sendRaw, useFronts } from "../front.js";

const RPC = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/QueryJob";
const WATCH = "/api/v1/job/watch";
const QUERY = "/api/v1/job/query";
const start = useFronts();

describe("a client that does not go on", () => {
  const timeouts = { peek: 100, headers: 200, request: 300, idle: 200 };

  it.each([
    ["nothing", "", ""],
    ["a third of the HTTP/2 preface", "P", ""],
    ["half of a head", "GET /probe HTTP/1.1\r\nHost:", "408"],
    ["half of a body", rawPost(QUERY, "{", { "content-length": "9" }), "408"],
    ["half of a call", rawPost(RPC, "{", { "content-length": "9" }), "408"],
  ])("having sent %s is cut off", async (_name, bytes, status) => {
    const front = await start({ timeouts });
    expect(await sendRaw(front.port, bytes)).toContain(status);
    expect(faultsOf(front)).toEqual([]);
  });

  it("on an HTTP/2 connection without requests is cut off", async () => {
    const front = await start({ timeouts });
    const session = connectHttp2(front.url);
    await once(session, "close");
  });

  it.each([QUERY, RPC])("in the middle of an HTTP/2 body of %s is cut off", async (path) => {
    const front = await start({ timeouts });
    const session = connectHttp2(front.url);
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/json" });
    stream.on("error", () => undefined).resume();
    stream.write("{");
    await once(stream, "close");
    session.destroy();
    expect(front.jobs.calls).toEqual([]);
    expect(faultsOf(front)).toEqual([]);
  });

  it("and hangs up in the middle of an HTTP/2 body leaves nothing behind", async () => {
    const front = await start({ maxBodyBytes: 1000, timeouts: { drain: 60_000 } });
    const socket = connectTcp(front.port, "127.0.0.1");
    const session = connectHttp2(front.url, { createConnection: () => socket });
    const stream = session.request({ ":method": "POST", ":path": QUERY, "content-type": "application/json" });
    stream.on("error", () => undefined).write("x".repeat(20_000));
    await once(stream, "response");
    socket.destroy();
    // Would wait for the drain time if the connection were still there.
    await front.server.stop();
    expect(faultsOf(front)).toEqual([]);
  });

  it("nor answers pings while it watches is cut off", async () => {
    const front = await start({ timeouts });
    let deaf = false;
    const proxy = createTcpServer((client) => {
      const upstream = connectTcp(front.port, "127.0.0.1");
      upstream.pipe(client);
      client.on("data", (chunk) => deaf || upstream.write(chunk));
      client.on("close", () => upstream.destroy());
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const { port } = proxy.address() as AddressInfo;
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", () => undefined);
    const ended = front.hub.ended();
    const stream = session.request({ ":method": "POST", ":path": WATCH, "content-type": "application/json" });
    stream.on("error", () => undefined).end("{}");
    await once(stream, "response");
    deaf = true;
    expect((await ended).aborted).toBe(true);
    session.destroy();
    proxy.close();
  });

  it("but answers pings while it watches is not cut off", async () => {
    const front = await start({ timeouts });
    const session = connectHttp2(front.url);
    const stream = session.request({ ":method": "POST", ":path": WATCH, "content-type": "application/json" });
    stream.setEncoding("utf8").end("{}");
    const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<string>;
    expect((await chunks.next()).value).toBe('{"type":4}\n');
    for (let pings = 0; pings < 3; pings++) await once(session, "ping");
    front.hub.emit({ kind: "Error", revision: 0n, message: "watch again" });
    expect((await chunks.next()).value).toContain("watch again");
    session.close();
  });

  it("but watches is not cut off", async () => {
    const front = await start({ timeouts });
    const started = front.hub.started();
    const chunks = readLines(await postJson(front.url + WATCH, {}));
    expect(await chunks.next()).toMatchObject({ value: { type: 4 } });
    const { signal } = await started;
    await sendRaw(front.port, "");
    await sendRaw(front.port, "GET / HTTP/1.1\r\n");
    front.hub.emit({ kind: "Added", from: 8n, revision: 8n, inSnapshot: false, view: viewOf(definitionOf("late")) });
    expect(await chunks.next()).toMatchObject({ value: { type: 0, object: { job_id: "late" } } });
    expect(signal.aborted).toBe(false);
  });
});
