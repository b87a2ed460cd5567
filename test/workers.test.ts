/** `muster serve --workers 2`: several processes on one port act as one server. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { JobService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

let database: TestDatabase;
let server: ServerProcess;
const IMAGE = {
  name: "hello",
  image: { name: "example/hello", tag: "1" },
  deployTemplates: [{ name: "main", replicas: 1, containers: [{ name: "app", command: ["node", "-e", "console.log('hello')"] }] }],
};

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startServerProcess({ databaseUrl: database.url, args: ["--workers", "2"] });
  const answer = await fetch(`${server.url}/api/v1/appimage/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(IMAGE),
  });
  expect(await answer.json()).toMatchObject({ status: { code: 0 } });
});
afterAll(async () => {
  await server.stop();
  await database.drop();
});

/** Each has a connection of its own, and connections go to the workers in turn. */
const client = () => createClient(JobService, createGrpcTransport({ baseUrl: server.url }));

const childrenOf = (pid: number): number[] =>
  execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(pid)], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line.includes("muster.js serve"))
    .map((line) => Number.parseInt(line, 10));

const textOf = (path: string, agent: Agent): Promise<string> =>
  new Promise((resolve, reject) => {
    get(`${server.url}${path}`, { agent }, (response) => void text(response).then(resolve, reject)).on("error", reject);
  });

const isThere = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(20);
}

const job = (jobId: string) => ({
  jobId,
  initiator: "alice",
  tasks: [{ alias: "a", appImage: "hello", parties: [{ domainId: "alice" }] }],
});

async function runsToItsEnd(jobId: string): Promise<void> {
  expect((await client().createJob(job(jobId))).status?.code).toBe(0);
  for await (const { object } of client().watchJob({ jobIds: [jobId] })) {
    if (object?.status?.state === "Succeeded") return;
    expect(object?.status?.state ?? "Running").not.toBe("Failed");
  }
}

test("what is written at one worker is run by the primary, and watched, read and found in the logs at any", async () => {
  expect(childrenOf(server.pid)).toHaveLength(2);
  await runsToItsEnd("both");
  for (let i = 0; i < 4; i++) {
    expect((await client().queryJob({ jobId: "both" })).data?.status?.state).toBe("Succeeded");
    const logs = await fetch(`${server.url}/v1/jobs/both/logs`, { headers: { connection: "close" } });
    expect(JSON.stringify(await logs.json())).toContain("hello");
  }
});

test("the counters are those of all processes together", async () => {
  const count = async (): Promise<number> => {
    const text = await (await fetch(`${server.url}/metrics`, { headers: { connection: "close" } })).text();
    const lines = [...text.matchAll(/^muster_requests_total\{route="\/version",.*\} (\d+)$/gm)];
    return lines.reduce((sum, line) => sum + Number(line[1]), 0);
  };
  const before = await count();
  for (let i = 0; i < 6; i++) await (await fetch(`${server.url}/version`, { headers: { connection: "close" } })).text();
  expect(await count()).toBe(before + 6);
  expect(await count()).toBe(before + 6);
});

test("a worker whose end the primary has not noticed yet costs the counters its own share alone", async () => {
  // Both serve from the start, and connections go to them in turn, so each has two of these.
  const agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  for (const agent of agents) await textOf("/version", agent);
  const [victim = 0] = childrenOf(server.pid);
  process.kill(server.pid, "SIGSTOP");
  let counters: Promise<string>;
  try {
    process.kill(victim, "SIGKILL");
    await until(() => !isThere(victim));
    counters = Promise.any(agents.slice(0, 2).map((agent) => textOf("/metrics", agent)));
    // The worker that is left has passed the question on by the time it answers what came after it.
    await Promise.any([counters, ...agents.slice(2).map((agent) => textOf("/version", agent))]);
  } finally {
    process.kill(server.pid, "SIGCONT");
  }
  expect(await counters).toContain("muster_requests_total");
  await until(() => childrenOf(server.pid).length === 2 && !childrenOf(server.pid).includes(victim));
  for (const agent of agents) agent.destroy();
  await runsToItsEnd("counted");
});

test("a worker that is killed is replaced", async () => {
  const [victim = 0, other] = childrenOf(server.pid);
  process.kill(victim, "SIGKILL");
  await until(() => childrenOf(server.pid).length === 2 && !childrenOf(server.pid).includes(victim));
  expect(childrenOf(server.pid)).toContain(other);
  for (let i = 0; i < 4; i++) await until(async () => (await fetch(`${server.url}/version`).catch(() => undefined))?.ok === true);
  await runsToItsEnd("after");
});

test("workers that are all killed at once are replaced at the same port", async () => {
  const victims = childrenOf(server.pid);
  for (const victim of victims) process.kill(victim, "SIGKILL");
  await until(async () => (await fetch(`${server.url}/version`).catch(() => undefined))?.ok === true);
  expect(childrenOf(server.pid).some((pid) => victims.includes(pid))).toBe(false);
  await runsToItsEnd("anew");
});

test("all end when the primary is asked to, and when it is killed", async () => {
  for (const end of ["stop", "kill9"] as const) {
    const another = await startServerProcess({ databaseUrl: database.url, args: ["--workers", "2"] });
    const workers = childrenOf(another.pid);
    expect(workers).toHaveLength(2);
    const code = await another[end]();
    if (end === "stop") expect(code).toBe(0);
    await until(() => !workers.some(isThere));
  }
});
