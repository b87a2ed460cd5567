import { once } from "node:events";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from "node:net";
import { describe, expect, it } from "vitest";
import { faultsOf, http2Request, postJson, rawPost, sendRaw, useFronts } from "../front.js";

const RPC = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/QueryJob";
const QUERY = "/api/v1/job/query";
const start = useFronts();

describe("a malformed head", () => {
  it.each(["/probe", QUERY, RPC])("of %s is answered 400 and ends nothing", async (path) => {
    const front = await start();
    for (const host of ["a b", "[::1", "%zz", "a:99999"]) {
      const request = rawPost(path, "{}", { host });
      expect(await sendRaw(front.port, request, "malformed"), host).toMatch(/^HTTP\/1.1 400 /);
    }
    expect(await sendRaw(front.port, `GET ${path} HTTP/1.0\r\n\r\n`)).toMatch(/^HTTP\/1.1 400 /);
    expect((await fetch(`${front.url}/probe`)).status).toBe(200);
    expect(faultsOf(front)).toEqual([]);
  });

  it.each(["/probe", QUERY, RPC])("with two Hosts is answered 400: %s", async (path) => {
    const front = await start();
    const request = (...hosts: string[]): Promise<string> => {
      const lines = hosts.map((host) => `${host}\r\n`).join("");
      return sendRaw(front.port, `GET ${path} HTTP/1.1\r\n${lines}Connection: close\r\n\r\n`);
    };
    expect(await request("Host: localhost", "Host: localhost")).toMatch(/^HTTP\/1.1 400 [^]*Host/);
    expect(await request("Host: localhost", "Accept: */*", "hOST: evil.com")).toMatch(/^HTTP\/1.1 400 [^]*Host/);
    expect(await request("Host: localhost", "Hos: evil.com", "X-Host: evil.com", "Via: Host")).not.toMatch(/^HTTP\/1.1 400 /);
  });

  it("over HTTP/2 is answered 400", async () => {
    const front = await start();
    for (const path of ["/probe", RPC]) {
      const { status } = await http2Request(front.url, { ":authority": "%zz", ":path": path });
      expect(status).toBe(400);
    }
  });

  it("may name the host in the target, as proxies do", async () => {
    const { port } = await start();
    const target = (host: string) =>
      `GET http://${host}/probe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
    expect(await sendRaw(port, target("localhost:1"))).toMatch(/^HTTP\/1.1 200 /);
    expect(await sendRaw(port, target("evil.com"))).toMatch(/^HTTP\/1.1 403 /);
    expect(
      await sendRaw(port, `GET //evil.com/probe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
    ).toMatch(/^HTTP\/1.1 404 /);
  });

  it.each(["PRX\r\n\r\n", "\x16\x03\x01\x00\x05hello", "nonsense\r\n\r\n"])(
    "that is no HTTP ends its own connection",
    async (bytes) => {
      const { port } = await start();
      expect(await sendRaw(port, bytes)).toMatch(/^HTTP\/1.1 400 /);
    },
  );
});

describe("a request in pieces", () => {
  it("is served byte by byte over HTTP/1.1", async () => {
    const { port } = await start();
    const socket = connectTcp(port, "127.0.0.1").setNoDelay(true).setEncoding("latin1");
    for (const byte of "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") {
      await new Promise((resolve) => socket.write(byte, resolve));
    }
    let answer = "";
    for await (const chunk of socket) answer += chunk as string;
    expect(answer).toMatch(/^HTTP\/1.1 200 [^]*1\.2\.3/);
  });

  it("is served byte by byte over HTTP/2", async () => {
    const front = await start();
    const proxy = createTcpServer((client) => {
      const upstream = connectTcp(front.port, "127.0.0.1").setNoDelay(true);
      upstream.pipe(client);
      upstream.on("error", () => client.destroy());
      client.on("close", () => upstream.destroy());
      void (async () => {
        for await (const chunk of client as AsyncIterable<Buffer>) {
          for (const byte of chunk) await new Promise((resolve) => upstream.write(Buffer.of(byte), resolve));
        }
      })().catch(() => upstream.destroy());
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const { port } = proxy.address() as AddressInfo;
    const { status, text } = await http2Request(`http://127.0.0.1:${port}`, { ":path": "/version" });
    expect([status, text]).toEqual([200, '{"version":"1.2.3"}']);
    proxy.close();
  });
});

describe("a web page", () => {
  const attempts: readonly [string, Record<string, string>, number][] = [
    ["with a foreign Origin", { origin: "https://evil.com" }, 403],
    ["with the Origin null", { origin: "null" }, 403],
    ["from another site", { "sec-fetch-site": "cross-site" }, 403],
    ["on another port of this machine", { "sec-fetch-site": "same-site" }, 403],
    ["of a name that resolves to 127.0.0.1", { host: "rebound.evil.com" }, 403],
    ["that sends JSON as text/plain", { "content-type": "text/plain" }, 415],
    ["that sends a form", { "content-type": "application/x-www-form-urlencoded" }, 415],
    ["that names no content type", { "content-type": "" }, 415],
  ];
  it.each(attempts)("%s gets nothing done", async (_name, headers, status) => {
    const front = await start();
    for (const path of [QUERY, RPC]) {
      const answer = await sendRaw(front.port, rawPost(path, "{}", { connection: "close", ...headers }));
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer.toLowerCase()).not.toContain("access-control-allow");
    }
    expect(front.jobs.calls).toEqual([]);
  });

  it("gets no permission by a preflight", async () => {
    const { url } = await start();
    const headers = { origin: "https://evil.com", "access-control-request-method": "POST" };
    const answer = await fetch(url + QUERY, { method: "OPTIONS", headers });
    expect(answer.status).toBe(403);
    expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
  });

  it("of this server itself is served", async () => {
    const { url } = await start();
    const headers = { origin: url, "sec-fetch-site": "same-origin" };
    expect((await postJson(url + QUERY, { job_id: "a" }, headers)).status).toBe(200);
  });

  it("may use any name of a server that is not on loopback", async () => {
    const front = await start({ listen: { host: "0.0.0.0", port: 0 } });
    const answer = await sendRaw(
      front.port,
      "GET /probe HTTP/1.1\r\nHost: muster.example\r\nConnection: close\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe("a refused content type", () => {
  it("is answered in Kuscia's words", async () => {
    const { url } = await start();
    const answer = await fetch(url + QUERY, { method: "POST", body: "{}" });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toEqual({
      status: { code: 11101, message: "a body needs a content type, such as application/json" },
    });
  });

  it("is plain JSON where the surface has no words of its own", async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/v1/attempts/attempt-1/progress`, { method: "POST", body: "{}" });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toEqual({ message: "a body needs a content type, such as application/json" });
  });
});
