/** TLS on the port: who gets through the handshake, and that what lies behind it is the same as in cleartext. */

import { execFile } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type Socket, connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { JobService } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { createAuthenticator } from "../../src/access.js";
import { makeCertificates } from "../../src/cli/certs.js";
import type { ServerOptions } from "../../src/server.js";
import { createTlsSource } from "../../src/tls.js";
import { type KeyPair, makeTestCertificates, type TestCertificates } from "../certificates.js";
import { openGrpcClient } from "../grpc-client.js";
import { drain, faultsOf, type Front, http2Request, useFronts } from "../front.js";

const start = useFronts();
let certs: TestCertificates;
let alice: KeyPair;
beforeAll(async () => {
  certs = await makeTestCertificates();
  alice = await certs.client("alice");
});
afterAll(() => certs.remove());

const tls = (): Partial<ServerOptions> => {
  const material = { ...certs.server };
  return { tls: () => material };
};
const mutual = (): Partial<ServerOptions> => {
  const material = { ...certs.server, clientCa: certs.ca };
  const authenticate = createAuthenticator({
    tokenFile: null,
    credentialsFile: null,
    certificates: true,
    domains: new Set(["alice", "bob"]),
    rateLimit: null,
    now: Date.now,
    onReload: () => undefined,
  });
  return { tls: () => material, authenticate };
};
const urlOf = ({ port }: Front): string => `https://localhost:${port}`;

type Connecting = (baseUrl: string, nodeOptions: object) => Transport;
const OVER_TLS: readonly (readonly [string, Connecting])[] = [
  ["gRPC", (baseUrl, nodeOptions) => createGrpcTransport({ baseUrl, nodeOptions })],
  ["gRPC-Web over HTTP/1.1", (baseUrl, nodeOptions) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions })],
  ["gRPC-Web over HTTP/2", (baseUrl, nodeOptions) => createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions })],
  ["Connect over HTTP/1.1", (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions })],
  ["Connect JSON over HTTP/1.1", (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false, nodeOptions })],
  ["Connect over HTTP/2", (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, httpVersion: "2", nodeOptions })],
];

/** Shakes hands and resolves with the socket, or rejects with why there is none. */
async function shakeHands(port: number, options: object = {}): Promise<TLSSocket> {
  const socket = connectTls({ port, host: "localhost", ca: certs.ca, ...options });
  await once(socket, "secureConnect");
  socket.on("error", () => undefined);
  return socket;
}

/** Asks over HTTP/1.1 and gives the status line, or nothing where the server hangs up instead. */
async function statusLine(socket: Socket): Promise<string> {
  socket.write("GET /probe HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  // Not by events.once, which would reject on the error before it.
  await new Promise((resolve) => (socket.closed ? resolve(undefined) : socket.once("close", resolve)));
  return text.split("\r\n", 1)[0] ?? "";
}

const OK = "HTTP/1.1 200 OK";

describe("TLS", () => {
  it.each(OVER_TLS)("carries calls and streams of %s", async (_name, connect) => {
    const front = await start(tls());
    const client = createClient(JobService, connect(urlOf(front), { ca: certs.ca }));
    expect(await client.queryJob({ jobId: "a" })).toMatchObject({ status: { code: 11202 } });
    const leave = new AbortController();
    for await (const event of client.watchJob({}, { signal: leave.signal })) {
      expect(event.type).toBe(4);
      break;
    }
    leave.abort();
  });

  it("lets the client choose between HTTP/1.1 and HTTP/2, without a choice HTTP/1.1", async () => {
    const { port } = await start(tls());
    const chosen = async (ALPNProtocols?: string[]): Promise<unknown> => {
      const socket = await shakeHands(port, ALPNProtocols && { ALPNProtocols });
      socket.destroy();
      return socket.alpnProtocol;
    };
    expect([await chosen(["h2", "http/1.1"]), await chosen(["http/1.1"]), await chosen()]).toEqual(["h2", "http/1.1", false]);
    expect(await statusLine(await shakeHands(port))).toBe(OK);
  });

  it("is in the URL that an answer names", async () => {
    const front = await start(tls());
    const path = "/kylin/api/jobs/absent";
    const socket = await shakeHands(front.port);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost:${front.port}\r\nconnection: close\r\n\r\n`);
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    const [, body = ""] = text.split("\r\n\r\n");
    const overHttp2 = await http2Request(urlOf(front), { ":path": path }, undefined, { ca: certs.ca });
    for (const answer of [body, overHttp2.text]) expect(JSON.parse(answer)).toMatchObject({ code: "999", url: urlOf(front) + path });
  });

  it("serves grpc-js, which checks the server's name", async () => {
    const front = await start(tls());
    const client = openGrpcClient(`localhost:${front.port}`, { ca: certs.ca });
    expect((await client.call("QueryJob", { job_id: "a" })).status.code).toBe(11202);
    client.close();
  });

  it.each(["--http1.1", "--http2"])("serves curl %s", async (version) => {
    const front = await start(tls());
    const args = ["-sS", version, "--cacert", join(certs.folder, "ca.crt"), "-w", " %{http_version}", `${urlOf(front)}/probe`];
    const { stdout } = await promisify(execFile)("curl", args);
    expect(stdout).toBe(`{"ready":true} ${version === "--http2" ? "2" : "1.1"}`);
  });

  it("refuses cleartext, and no handshake that goes wrong harms the others", async () => {
    const front = await start(tls());
    for (const bytes of ["GET /probe HTTP/1.1\r\nhost: localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x00\x05hello"]) {
      const socket = connectTcp(front.port, "127.0.0.1").on("error", () => undefined);
      socket.write(bytes, "latin1");
      let answer = "";
      socket.setEncoding("latin1").on("data", (chunk: string) => (answer += chunk));
      await once(socket, "close");
      expect(answer).not.toContain("HTTP/1.1");
    }
    const gone = connectTcp(front.port, "127.0.0.1");
    await once(gone, "connect");
    gone.resetAndDestroy();
    await expect(shakeHands(front.port, { ca: undefined })).rejects.toThrow(/self.signed|unable to/);
    await expect(shakeHands(front.port, { maxVersion: "TLSv1.1", minVersion: "TLSv1" })).rejects.toThrow();
    await expect(shakeHands(front.port, { ALPNProtocols: ["spdy/3"] })).rejects.toThrow();
    expect(await statusLine(await shakeHands(front.port))).toBe(OK);
    expect(faultsOf(front)).toEqual([]);
  });

  it("cuts off who connects and does not shake hands, or says nothing after it", async () => {
    const timeouts = { peek: 100, headers: 200, request: 300, idle: 200 };
    const { port } = await start({ ...tls(), timeouts });
    const silent = connectTcp(port, "127.0.0.1");
    await once(silent, "close");
    for (const protocol of ["h2", "http/1.1"]) {
      const socket = await shakeHands(port, { ALPNProtocols: [protocol] });
      socket.resume();
      await once(socket, "close");
    }
  });

  it("keeps the checks of a request's head and the limit of its body", async () => {
    const front = await start({ ...tls(), maxBodyBytes: 10 });
    const post = async (headers: readonly string[], body: string): Promise<string> => {
      const header = headers.flatMap((line) => ["-H", line]);
      const args = ["-sS", "--cacert", join(certs.folder, "ca.crt"), ...header, "-d", body, "-o", "/dev/null", "-w", "%{http_code}"];
      return (await promisify(execFile)("curl", [...args, `${urlOf(front)}/api/v1/job/query`])).stdout;
    };
    expect(await post(["content-type: application/json", "host: evil.example"], "{}")).toBe("403");
    expect(await post(["content-type: application/json", "origin: https://evil.example"], "{}")).toBe("403");
    expect(await post(["content-type: text/plain"], "{}")).toBe("415");
    expect(await post(["content-type: application/json"], '{"job_id": "too long"}')).toBe("413");
    expect(await post(["content-type: application/json"], "{}")).toBe("200");
  });

  it("ends its streams with unavailable when the server stops, and drops handshakes that hang", async () => {
    const front = await start(tls());
    const hanging = connectTcp(front.port, "127.0.0.1");
    await once(hanging, "connect");
    const client = createClient(JobService, createGrpcTransport({ baseUrl: urlOf(front), nodeOptions: { ca: certs.ca } }));
    const watch = client.watchJob({})[Symbol.asyncIterator]();
    await watch.next();
    const closed = once(hanging, "close");
    await front.server.stop();
    await expect(watch.next()).rejects.toMatchObject({ code: Code.Unavailable });
    await closed;
  });
});

describe("MTLS", () => {
  it.each(OVER_TLS)("makes the certificate's name the caller of %s, on every call of a connection", async (_name, connect) => {
    const front = await start(mutual());
    const client = createClient(JobService, connect(urlOf(front), { ca: certs.ca, ...alice }));
    for (const jobId of ["one", "two"]) {
      await client.queryJob({ jobId });
      expect(front.jobs.last("query")).toEqual([jobId, { role: "domain", domain: "alice", credential: "certificate:alice" }]);
    }
  });

  it("knows callers of two certificates apart, also when they come again with a session of before", async () => {
    const front = await start(mutual());
    const askedBy = async (options: object): Promise<unknown> => {
      const socket = await shakeHands(front.port, options);
      const body = '{"job_id":"a"}';
      const head = "POST /api/v1/job/query HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
      let ticket: Buffer | undefined;
      socket.on("session", (latest: Buffer) => (ticket = latest));
      const reused = socket.isSessionReused();
      socket.write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
      socket.resume();
      await once(socket, "close");
      return { actor: front.jobs.last("query")?.[1], reused, ticket };
    };
    const bob = await certs.client("bob");
    const first = await askedBy(alice);
    expect(first).toMatchObject({ actor: { domain: "alice" }, reused: false });
    const { ticket } = first as { ticket: Buffer };
    expect(await askedBy({ ...alice, session: ticket })).toMatchObject({ actor: { domain: "alice" }, reused: true });
    expect(await askedBy(bob)).toMatchObject({ actor: { domain: "bob" }, reused: false });
  });

  it("serves curl and grpc-js with a certificate", async () => {
    const front = await start(mutual());
    const file = (name: string): string => join(certs.folder, name);
    const identity = ["--cert", file("client-bob.crt"), "--key", file("client-bob.key"), "--cacert", file("ca.crt")];
    const args = ["-sS", ...identity, "-H", "content-type: application/json", "-d", '{"job_id":"x"}', `${urlOf(front)}/api/v1/job/query`];
    expect(JSON.parse((await promisify(execFile)("curl", args)).stdout)).toMatchObject({ status: { code: 11202 } });
    expect(front.jobs.last("query")?.[1]).toEqual({ role: "domain", domain: "bob", credential: "certificate:bob" });
    const client = openGrpcClient(`localhost:${front.port}`, { ca: certs.ca, ...alice });
    await client.call("StopJob", { job_id: "x" });
    expect(front.jobs.last("Stop")?.[1]).toEqual({ role: "domain", domain: "alice", credential: "certificate:alice" });
    client.close();
  });

  it("refuses a name that is no configured domain, after the handshake", async () => {
    const front = await start(mutual());
    const carol = await certs.client("carol");
    const client = createClient(JobService, createGrpcTransport({ baseUrl: urlOf(front), nodeOptions: { ca: certs.ca, ...carol } }));
    await expect(client.queryJob({ jobId: "a" })).rejects.toMatchObject({ code: Code.Unauthenticated });
    await expect(drain(client.watchJob({}))).rejects.toMatchObject({ code: Code.Unauthenticated });
    expect(front.jobs.calls).toEqual([]);
  });

  it("refuses at the handshake who shows no certificate, a foreign one, or a server's", async () => {
    const front = await start(mutual());
    const foreign = await makeTestCertificates();
    const strangers = [{}, await foreign.client("alice"), { ...certs.server }];
    await foreign.remove();
    for (const stranger of strangers) {
      // In TLS 1.3 the client learns it only after its own side is done.
      const socket = await shakeHands(front.port, stranger);
      expect(await statusLine(socket)).toBe("");
    }
    expect(await statusLine(await shakeHands(front.port, alice))).toBe(OK);
    expect(faultsOf(front)).toEqual([]);
  });

  it("wants a content type that no page can send, since browsers show certificates unasked", async () => {
    const front = await start(mutual());
    const file = (name: string): string => join(certs.folder, name);
    const identity = ["--cert", file("client-bob.crt"), "--key", file("client-bob.key"), "--cacert", file("ca.crt")];
    const args = ["-sS", ...identity, "-H", "content-type: text/plain", "-d", "{}", "-o", "/dev/null", "-w", "%{http_code}"];
    expect((await promisify(execFile)("curl", [...args, `${urlOf(front)}/api/v1/job/query`])).stdout).toBe("415");
  });
});

describe("two ports", () => {
  it("serve the same, and both close", async () => {
    const front = await start({ ...tls(), alsoListen: { host: "127.0.0.1", port: 0 } });
    const { also } = await front.server.start();
    const client = openGrpcClient(`localhost:${also?.port}`, { ca: certs.ca });
    expect((await client.call("QueryJob", { job_id: "a" })).status.code).toBe(11202);
    client.close();
    expect(await statusLine(await shakeHands(also?.port ?? 0))).toBe(OK);
    await front.server.stop();
    await expect(shakeHands(also?.port ?? 0)).rejects.toThrow("ECONNREFUSED");
  });

  it("open both or none", async () => {
    const { port } = await start();
    await expect(start({ alsoListen: { host: "127.0.0.1", port } })).rejects.toThrow("EADDRINUSE");
  });
});

describe("certificate files", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "muster-tls-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("that change are taken over once they fit together, without a restart", async () => {
    const file = (name: string): string => join(folder, name);
    for (const name of ["server.crt", "server.key"]) await copyFile(join(certs.folder, name), file(name));
    const reloads: unknown[] = [];
    let now = 0;
    const source = createTlsSource({
      files: { cert: file("server.crt"), key: file("server.key"), clientCa: null },
      now: () => (now += 1000),
      onReload: (error) => reloads.push(error === undefined ? "taken over" : "broken"),
    });
    const front = await start({ tls: source });
    let session: Buffer | undefined;
    const issuer = async (): Promise<unknown> => {
      const socket = await shakeHands(front.port, { rejectUnauthorized: false, ...(session && { session }) });
      if (session) expect(socket.isSessionReused()).toBe(false);
      else [session] = (await once(socket, "session")) as [Buffer];
      const { issuer: by } = socket.getPeerCertificate();
      socket.destroy();
      return by.CN;
    };
    expect(await issuer()).toBe("Muster development CA");
    await makeCertificates(file("next"), { caName: "Next", server: ["localhost"], domain: [], days: 1 });
    await copyFile(file("next/server.crt"), file("server.crt"));
    session = undefined;
    expect([await issuer(), reloads]).toEqual(["Muster development CA", ["broken"]]);
    await copyFile(file("next/server.key"), file("server.key"));
    expect([await issuer(), reloads]).toEqual(["Next", ["broken", "taken over"]]);
  });

  it("that are missing, no PEM, or of two pairs are a fault that names them", async () => {
    const noPem = join(folder, "empty.pem");
    await writeFile(noPem, "");
    const path = (name: string): string => join(certs.folder, name);
    const fault = (cert: string, key: string, clientCa: string | null = null) => () =>
      createTlsSource({ files: { cert, key, clientCa }, now: Date.now, onReload: () => undefined });
    expect(fault(path("absent.crt"), path("server.key"))).toThrow(/tls\.cert: ENOENT/);
    expect(fault(path("server.crt"), path("client-bob.key"))).toThrow(/tls: .*key values mismatch/);
    expect(fault(noPem, path("server.key"))).toThrow(/tls: tls\.cert holds no certificate .*empty\.pem/);
    expect(fault(path("server.crt"), path("server.key"), noPem)).toThrow("tls.ca holds no certificate");
  });
});
