/** How many watches a credential may have open, on the real product over every protocol, and that each end of one counts. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EventType, JobService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const MOST = 3;

let folder: string;
let database: TestDatabase;
let server: ServerProcess;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-watches-"));
  const credentials = join(folder, "credentials.yaml");
  await writeFile(credentials, "- {name: ci, role: master, token: ci-token}\n- {name: ops, role: master, token: ops-token}\n");
  await writeFile(join(folder, "muster.yaml"), `credentials: ${credentials}\nmax-watches: ${MOST}\n`);
  database = await createTestDatabase();
  server = await startServerProcess({ databaseUrl: database.url, args: ["--config", join(folder, "muster.yaml")] });
});
afterAll(async () => {
  await server.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const withToken =
  (token: string): Interceptor =>
  (next) =>
  (request) => {
    request.header.set("token", token);
    return next(request);
  };

function clientOf(over: "gRPC" | "gRPC-Web" | "Connect", token = "ci-token") {
  const options = { baseUrl: server.url, interceptors: [withToken(token)] };
  if (over === "gRPC") return createClient(JobService, createGrpcTransport(options));
  const http1 = { ...options, httpVersion: "1.1" } as const;
  return createClient(JobService, over === "Connect" ? createConnectTransport(http1) : createGrpcWebTransport(http1));
}

const PROTOCOLS = ["gRPC", "gRPC-Web", "Connect"] as const;

/** Resolves once the watch is open; gives what its client leaves it with. */
async function openWatch(over: (typeof PROTOCOLS)[number], token?: string): Promise<() => void> {
  const leave = new AbortController();
  const events = clientOf(over, token).watchJob({}, { signal: leave.signal })[Symbol.asyncIterator]();
  expect((await events.next()).value).toMatchObject({ type: EventType.HEARTBEAT });
  return () => {
    leave.abort();
    void events.next().catch(() => undefined);
  };
}

const rest = (body: object, signal?: AbortSignal): Promise<Response> =>
  fetch(`${server.url}/api/v1/job/watch`, {
    method: "POST",
    headers: { "content-type": "application/json", token: "ci-token" },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });

/** What the server says that the credential has open. */
async function openNow(credential: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`, { headers: { token: "ops-token" } })).text();
  return Number(new RegExp(`^muster_credential_watchers\\{credential="token:${credential}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}

const REFUSAL = "this credential has 3 open watches, as many as max-watches allows; end one first";

test("one more watch than a credential may have is refused over every protocol; another credential has its own", async () => {
  const leave: (() => void)[] = [];
  for (const over of PROTOCOLS) leave.push(await openWatch(over));
  expect(await openNow("ci")).toBe(MOST);
  for (const over of PROTOCOLS) {
    const error = await clientOf(over).watchJob({})[Symbol.asyncIterator]().next().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({ code: Code.ResourceExhausted, rawMessage: REFUSAL });
  }
  const refused = await rest({});
  expect([refused.status, await refused.json()]).toEqual([429, { status: { code: 11101, message: REFUSAL } }]);
  // What cannot be a watch at all is told so first.
  expect((await rest({ timeout_seconds: -1 })).status).toBe(400);
  leave.push(await openWatch("gRPC", "ops-token"));
  // A refusal counts for nothing.
  expect([await openNow("ci"), await openNow("ops")]).toEqual([MOST, 1]);
  for (const each of leave) each();
  await expect.poll(() => openNow("ci")).toBe(0);
  await expect.poll(() => openNow("ops")).toBe(0);
});

test.each<[string, () => Promise<void>]>([
  ...PROTOCOLS.map((over): [string, () => Promise<void>] => [`its client leaves, ${over}`, async () => (await openWatch(over))()]),
  [
    "its client leaves, REST",
    async () => {
      const controller = new AbortController();
      expect((await rest({}, controller.signal)).status).toBe(200);
      controller.abort();
    },
  ],
  [
    "its connection breaks",
    async () => {
      const session = connect(server.url);
      const request = session.request({ ":method": "POST", ":path": `/${JobService.typeName}/WatchJob`, "content-type": "application/grpc", te: "trailers", token: "ci-token" });
      request.on("error", () => undefined);
      request.end(Buffer.alloc(5));
      await once(request, "data");
      session.destroy();
    },
  ],
  [
    "it ends with an ERROR",
    async () => {
      for (const over of PROTOCOLS) {
        const types: EventType[] = [];
        for await (const { type } of clientOf(over).watchJob({ resumeRevision: 1_000_000n })) types.push(type);
        expect(types).toEqual([EventType.ERROR]);
      }
      expect(await (await rest({ resume_revision: "1000000" })).text()).toContain("1000000");
    },
  ],
  [
    "its time is over",
    async () => {
      for await (const _event of clientOf("gRPC").watchJob({ timeoutSeconds: 1n }));
      await (await rest({ timeout_seconds: 1 })).text();
    },
  ],
  [
    "its deadline passes",
    async () => {
      const watch = async () => {
        for await (const _event of clientOf("gRPC").watchJob({}, { timeoutMs: 500 }));
      };
      await expect(watch()).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    },
  ],
])("a watch counts no longer when %s", async (_how, openAndEnd) => {
  for (let i = 0; i <= MOST; i++) {
    await openAndEnd();
    await expect.poll(() => openNow("ci")).toBe(0);
  }
});
