import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { describe, expect, it } from "vitest";
import { http2Request, rawPost, sendRaw, useFronts } from "../front.js";

const QUERY = "/api/v1/job/query";
const BODY = '{"job_id": "a"}';
const start = useFronts();
const head = { ":method": "POST", ":path": QUERY, "content-type": "application/json" };

describe("a client that waits for a go-ahead", () => {
  it.each(["100-continue", "100-Continue"])("gets it over HTTP/2 before it sends its body: %s", async (word) => {
    const { url } = await start();
    const session = connectHttp2(url);
    const stream = session.request({ ...head, expect: word });
    await once(stream, "continue");
    stream.end(BODY);
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    expect(headers[":status"]).toBe(200);
    session.close();
    stream.resume();
  });

  it.each(["100-continue", "100-Continue"])("gets it over HTTP/1.1: %s", async (word) => {
    const { port } = await start();
    const answer = await sendRaw(port, rawPost(QUERY, BODY, { expect: word }), '"data"');
    expect(answer).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
  });

  it("is refused over both where it waits for something else, and the handler is not asked", async () => {
    const { url, port, jobs } = await start();
    expect((await http2Request(url, { ...head, expect: "a miracle" }, Buffer.from(BODY))).status).toBe(417);
    expect(await sendRaw(port, rawPost(QUERY, BODY, { expect: "a miracle" }), "\r\n\r\n")).toMatch(/^HTTP\/1\.1 417 /);
    expect(jobs.calls).toEqual([]);
  });
});

it("no tunnel is opened", async () => {
  const { url, port } = await start();
  expect((await http2Request(url, { ":method": "CONNECT", ":authority": "localhost:80" })).status).toBe(405);
  expect(await sendRaw(port, "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")).toBe("");
});
