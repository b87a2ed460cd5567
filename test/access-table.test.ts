/**
 * Every route over every protocol that carries it, with every kind of credential, on the real engine. The routes are read
 * from the surfaces' own tables: one that has no row in access-rows.ts fails the test.
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  fromJson,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createConnectRouter, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAuthenticator } from "../src/access.js";
import type { PartyCommands } from "../src/core/access.js";
import { DEFAULT_LIMITS } from "../src/core/dag.js";
import { createImages, type Images } from "../src/images.js";
import { createJobs } from "../src/jobs.js";
import { createLogs } from "../src/logs.js";
import { createServer, type Server } from "../src/server.js";
import type { Surface } from "../src/surface.js";
import { createKusciaSurface } from "../src/surfaces/kuscia/surface.js";
import { createKylinSurface } from "../src/surfaces/kylin/surface.js";
import { createMusterSurface } from "../src/surfaces/muster/surface.js";
import { createSystemSurface } from "../src/surfaces/system/surface.js";
import { WatchHub } from "../src/watch.js";
import {
  APPROVE,
  CALLERS,
  CREATE,
  guarded,
  METHOD_OF_PATH,
  METHODS,
  type Outcome,
  QUERIES,
  requestOf,
  ROUTES,
  type Row,
  WHO,
  type Who,
} from "./access-rows.js";
import { MASTER } from "./core/fixtures.js";
import { FakeRunner } from "./fake-runner.js";
import { IMAGE, jobNamed, openTestStore, type TestStore } from "./store/fixtures.js";

const TRANSPORTS: Readonly<Record<string, (baseUrl: string) => Transport>> = {
  gRPC: (baseUrl) => createGrpcTransport({ baseUrl }),
  "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
  "Connect JSON": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
  "Connect protobuf": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true }),
};

let store: TestStore;
let hub: WatchHub;
let images: Images;
let folder: string;
let surfaces: readonly Surface[];
const servers: Server[] = [];
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-table-"));
  await writeFile(
    join(folder, "credentials.yaml"),
    `
- {name: ops, role: master, token: ops}
- {name: alice, role: domain, domain: alice, token: alice}
- {name: bob, role: domain, domain: bob, token: bob}
- {name: carol, role: domain, domain: carol, token: carol}
- {name: old, role: domain, domain: alice, token: alice-of-old, expires: 2020-01-01}
`,
  );
  store = await openTestStore({ manualDomains: ["bob"] });
  hub = new WatchHub({ pool: store.pool, heartbeatMs: 60_000, onFault: () => undefined });
  images = createImages({ pool: store.pool, commands: "any" });
  ({ surfaces, url } = await serve("safe"));
});
afterAll(async () => {
  await hub.stop();
  for (const server of servers) await server.stop();
  await store.close();
  await rm(folder, { recursive: true });
});

async function serve(partyCommands: PartyCommands): Promise<{ surfaces: readonly Surface[]; url: string }> {
  const log = pino({ level: "silent" });
  const { pool, writer } = store;
  const manualDomains = new Set(["bob"]);
  const jobs = createJobs({ pool, writer, limits: DEFAULT_LIMITS, domains: null, manualDomains, partyCommands });
  const logs = createLogs({ pool, jobs, runner: new FakeRunner() });
  const made = [
    createKusciaSurface({ jobs, images, hub, log }),
    createKylinSurface({ jobs, logs, now: Date.now, version: "", log }),
    createMusterSurface({ jobs, logs, now: Date.now, log }),
    createSystemSurface({ jobs, metrics: new Registry(), log }),
  ];
  const authenticate = createAuthenticator({
    tokenFile: null,
    credentialsFile: join(folder, "credentials.yaml"),
    certificates: false,
    domains: null,
    rateLimit: null,
    now: Date.now,
    onReload: () => undefined,
  });
  const listen = { host: "127.0.0.1", port: 0 };
  const server = createServer({ listen, surfaces: made, authenticate, maxBodyBytes: 1 << 20, log });
  servers.push(server);
  return { surfaces: made, url: `http://127.0.0.1:${(await server.start()).port}` };
}

let made = 0;
/** A job and an app image of one new name. */
async function freshName(): Promise<string> {
  const name = `n${(made += 1)}`;
  await store.jobs.submit({ definition: jobNamed(name), surface: "test" }, MASTER);
  await images.put({ ...IMAGE, name });
  return name;
}

const handlersOf = (all: readonly Surface[]): readonly { readonly name: string; readonly method: DescMethod }[] => {
  const router = createConnectRouter();
  for (const surface of all) surface.register?.(router);
  return router.handlers.map(({ method }) => ({ name: `${method.parent.typeName}/${method.name}`, method }));
};

const word = (error: unknown): string => (error instanceof ConnectError ? (Code[error.code] ?? "?") : String(error));

async function callRpc(transport: Transport, method: DescMethod, who: Who, name: string): Promise<Outcome> {
  const request = fromJson(method.input, requestOf(method.name, name));
  const token = CALLERS[who];
  const headers = token === undefined ? {} : { token };
  const leave = new AbortController();
  try {
    if (method.methodKind === "unary") {
      // The kind was looked at, which does not narrow a descriptor without type parameters.
      const unary = method as DescMethodUnary;
      const { message } = await transport.unary(unary, undefined, undefined, headers, request);
      return codeOf(message) ?? listed(message, name);
    }
    const input = (async function* once() {
      yield create(method.input, request);
    })();
    // Transports read of a streaming method whether the server streams, which all of these do.
    const streaming = method as DescMethodBiDiStreaming;
    const { message } = await transport.stream(streaming, leave.signal, undefined, headers, input);
    return await untilHeartbeat(message, name);
  } catch (error) {
    return word(error);
  } finally {
    leave.abort();
  }
}

/** Whether a watch shows the job; `ok` for streams of another kind, once something has come. */
async function untilHeartbeat(frames: AsyncIterable<object>, name: string): Promise<Outcome> {
  let shown = false;
  for await (const frame of frames) {
    if (!("type" in frame)) return "ok";
    if (frame.type === 4) return shown ? "shown" : "hidden";
    shown ||= names(frame, name);
  }
  return "ended";
}

function names(answer: object, name: string): boolean {
  return JSON.stringify(answer, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value)).includes(`"${name}"`);
}

/** Whether a list has the job; `ok` for any other answer. */
function listed(answer: object, name: string): Outcome {
  const list = "data" in answer ? answer.data : answer;
  if (typeof list !== "object" || list === null || !("jobs" in list)) return "ok";
  return names(answer, name) ? "shown" : "hidden";
}

/** The in-band code, which is a number. The status of a health check is one too, but no message. */
function codeOf(answer: object): number | undefined {
  const status: unknown = "status" in answer ? answer.status : undefined;
  return typeof status === "object" && status !== null && "code" in status ? Number(status.code) : undefined;
}

const HTTP_WORDS: Readonly<Record<number, string>> = { 401: "Unauthenticated", 403: "PermissionDenied", 404: "NotFound" };

async function callRest(base: string, route: string, who: Who, name: string): Promise<Outcome> {
  const [httpMethod = "", pattern = ""] = route.split(" ");
  const path = pattern
    .replace(/\{job_?id\}/i, name)
    .replace("{stepId}", `${name}-00`)
    .replace("{attempt_uid}", "0197f0a0-0000-7000-8000-000000000000");
  const body = pattern.endsWith("/progress") ? { progress: 0.5 } : requestOf(METHOD_OF_PATH[pattern] ?? "", name);
  const token = CALLERS[who];
  const leave = new AbortController();
  try {
    const answer = await fetch(base + path + (QUERIES[pattern] ?? ""), {
      method: httpMethod,
      headers: { "content-type": "application/json", ...(token === undefined ? {} : { token }) },
      ...(httpMethod === "GET" ? {} : { body: JSON.stringify(body) }),
      signal: leave.signal,
    });
    if (answer.status !== 200) return HTTP_WORDS[answer.status] ?? answer.status;
    if (pattern.endsWith("/watch")) return await untilHeartbeat(linesOf(answer), name);
    const text = await answer.text();
    if (!answer.headers.get("content-type")?.includes("json")) return "ok";
    const message = JSON.parse(text) as object;
    return codeOf(message) ?? listed(message, name);
  } finally {
    leave.abort();
  }
}

async function* linesOf(answer: Response): AsyncGenerator<object> {
  let rest = "";
  for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line) as object;
  }
}

async function rowOf(call: (who: Who, name: string) => Promise<Outcome>): Promise<Record<string, Outcome>> {
  const row: Record<string, Outcome> = {};
  for (const who of WHO) row[who] = await call(who, await freshName());
  return row;
}

test("every route has a row, and every row is a route's", () => {
  expect(handlersOf(surfaces).map(({ name }) => name).sort()).toEqual(Object.keys(METHODS).sort());
  const routes = surfaces.flatMap((surface) => surface.routes.map(({ method, path }) => `${method} ${path}`));
  expect(routes.sort()).toEqual(Object.keys(ROUTES).sort());
});

describe.each(Object.entries(TRANSPORTS))("over %s", (_protocol, connect) => {
  test.each(Object.entries(METHODS))("%s", async (name, expected) => {
    const method = handlersOf(surfaces).find((handler) => handler.name === name)?.method;
    if (!method) throw new Error(`${name} is not served`);
    const transport = connect(url);
    expect(await rowOf((who, fresh) => callRpc(transport, method, who, fresh))).toEqual(expected);
  });
});

describe("over REST", () => {
  test.each(Object.entries(ROUTES))("%s", async (route, expected) => {
    expect(await rowOf((who, fresh) => callRest(url, route, who, fresh))).toEqual(expected);
  });

  test("a path that is nobody's needs a credential too", async () => {
    const outcomes = await rowOf((who, fresh) => callRest(url, "POST /api/v1/job/forget", who, fresh));
    expect(outcomes).toEqual(guarded("NotFound", "NotFound", "NotFound", "NotFound"));
  });
});

describe("with Kuscia's rule, any party may command everything, and nobody else", () => {
  const KUSCIA = {
    stop: guarded(11102, 0, 0, 0),
    suspend: guarded(11102, 11210, 11210, 11210),
    restart: guarded(11102, 11211, 11211, 11211),
    cancel: guarded(11102, 0, 0, 0),
    delete: guarded(11102, 0, 0, 0),
    approve: APPROVE,
    create: CREATE,
  } satisfies Record<string, Row>;

  test.each(Object.entries(KUSCIA))("%s", async (command, expected) => {
    const front = await serve("kuscia");
    expect(await rowOf((who, fresh) => callRest(front.url, `POST /api/v1/job/${command}`, who, fresh))).toEqual(expected);
  });
});

test("a batch gives a domain its own jobs and names the others with those that are not there", async () => {
  const shared = await freshName();
  await store.jobs.submit({ definition: jobNamed("only-carol", { initiator: "carol" }), surface: "test" }, MASTER);
  const answer = await fetch(`${url}/api/v1/job/status/batchQuery`, {
    method: "POST",
    headers: { "content-type": "application/json", token: "carol" },
    body: JSON.stringify({ job_ids: [shared, "only-carol", "absent"] }),
  });
  expect(await answer.json()).toMatchObject({
    status: { code: 11203, message: `jobs "${shared}", "absent" not found` },
    data: { jobs: [{ job_id: "only-carol" }] },
  });
});

test("a job that a domain may not see reads like one that is not there", async () => {
  const ask = async (jobId: string): Promise<unknown> => {
    const headers = { "content-type": "application/json", token: "carol", "muster-extensions": "1" };
    const body = JSON.stringify({ job_id: jobId });
    const answer = await fetch(`${url}/api/v1/job/query`, { method: "POST", headers, body });
    return JSON.parse((await answer.text()).replaceAll(jobId, "X"));
  };
  expect(await ask(await freshName())).toEqual(await ask("absent"));
});
