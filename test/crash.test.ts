/**
 * kill -9 of the server while tasks run. The app of these jobs waits for a file in its domain's folder and then ends as the
 * file says, so each test decides what happens while nobody watches.
 */

import { execFileSync } from "node:child_process";
import { mkdtemp, chmod, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { followJob, openGrpcClient, type WireJob } from "./grpc-client.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const APP = `
const { existsSync, readFileSync, watch } = require("node:fs");
const file = process.env.MUSTER_DOMAIN_DATA + "/go";
const look = () => existsSync(file) && process.exit(Number(readFileSync(file, "utf8") || 0));
watch(process.env.MUSTER_DOMAIN_DATA, look);
look();
`;

let folder: string;
let database: TestDatabase;
let server: ServerProcess;

const start = async () => startServerProcess({ dataDirectory: join(folder, "data"), databaseUrl: database.url });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-crash-"));
  await chmod(folder, 0o711);
  database = await createTestDatabase();
  server = await start();
});
afterEach(async () => {
  await server.stop();
  expect(await survivors()).toEqual([]);
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

/** Processes that still have this test's folder in their environment. */
async function survivors(): Promise<string[]> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found: string[] = [];
  for (const pid of pids) {
    const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    if (environment.includes(`MUSTER_DOMAIN_DATA=${folder}`)) found.push(pid);
  }
  return found;
}

/** Lets the app of one domain end, with an exit code. Renamed into place, since the app reads the file as soon as it is there. */
async function release(domain: string, code = 0): Promise<void> {
  const go = join(folder, "data", "domains", domain, "data", "go");
  await writeFile(`${go}.new`, String(code));
  await rename(`${go}.new`, go);
}

async function withClient<T>(work: (client: ReturnType<typeof openGrpcClient>) => Promise<T>): Promise<T> {
  const client = openGrpcClient(server.url);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

async function startJob(jobId: string): Promise<void> {
  await withClient(async (client) => {
    const container = { name: "app", command: ["node"], args: ["-e", APP] };
    const image = { name: "waiting", image: { name: "waiting", tag: "1" }, deploy_templates: [{ name: "main", replicas: 1, containers: [container] }] };
    expect((await client.call("CreateAppImage", image)).status.code).toBe(0);
    const parties = [{ domain_id: "alice" }, { domain_id: "bob" }];
    const tasks = [
      { alias: "first", app_image: "waiting", parties },
      { alias: "second", app_image: "waiting", parties, dependencies: ["first"] },
    ];
    expect((await client.call("CreateJob", { job_id: jobId, initiator: "alice", tasks })).status.code).toBe(0);
    await followJob(client, jobId, (job) => (job.tasks[0]?.parties ?? []).filter((p) => p.state === "Running").length === 2);
  });
}

const ended = (job: WireJob) => job.state === "Succeeded" || job.state === "Failed";
const end = (jobId: string) => withClient(async (client) => (await followJob(client, jobId, ended)).last);

test("tasks that live on are adopted, and the job goes on to its end", async () => {
  await startJob("adopted");
  await server.kill9();
  expect(await survivors()).toHaveLength(2);
  server = await start();
  await release("alice");
  await release("bob");
  const job = await end("adopted");
  expect(job).toMatchObject({ state: "Succeeded", err_msg: "" });
  expect(job.tasks.map((task) => task.state)).toEqual(["Succeeded", "Succeeded"]);
});

test("what ended while no server was there is reported with its real exit", async () => {
  await startJob("unseen");
  await server.kill9();
  await release("bob", 3);
  await expect.poll(survivors).toHaveLength(1);
  server = await start();
  const job = await end("unseen");
  expect(job.state).toBe("Failed");
  expect(job.err_msg).toMatch(/^Task\[first\]-Party\[bob\]: .*code 3/);
});

test("what cannot be found any more is lost, and the job fails with that reason", async () => {
  await startJob("lost");
  await server.kill9();
  // Supervisors and apps, all at once, as when the machine goes down.
  execFileSync("pkill", ["-9", "-f", join(folder, "data", "attempts")]);
  for (const pid of await survivors()) process.kill(Number(pid), "SIGKILL");
  server = await start();
  const job = await end("lost");
  expect(job.state).toBe("Failed");
  expect(job.err_msg).toMatch(/^Task\[first\]-Party\[(alice|bob)\]: the process ended unseen/);
});

test("a command given after the restart reaches processes that were started before it", async () => {
  await startJob("stopped-later");
  await server.kill9();
  server = await start();
  await withClient(async (client) => {
    expect((await client.call("StopJob", { job_id: "stopped-later", reason: "enough" })).status.code).toBe(0);
    const { last } = await followJob(client, "stopped-later", ended);
    expect(last).toMatchObject({ state: "Failed", err_msg: "stopped by master: enough" });
  });
  expect(await survivors()).toEqual([]);
});

test("an answered create survives a kill at the same moment", async () => {
  await startJob("one");
  const ids = Array.from({ length: 30 }, (_, i) => `acked-${i}`);
  const acked: string[] = [];
  await withClient(async (client) => {
    const parties = [{ domain_id: "carol" }];
    const calls = ids.map(async (job_id) => {
      const answer = await client.call("CreateJob", { job_id, initiator: "carol", tasks: [{ alias: "a", app_image: "waiting", parties }] });
      if (answer.status.code === 0) acked.push(job_id);
      if (acked.length === 5) await server.kill9();
    });
    await Promise.allSettled(calls);
  });
  server = await start();
  expect(acked.length).toBeGreaterThanOrEqual(5);
  await withClient(async (client) => {
    const batch = await client.call("BatchQueryJobStatus", { job_ids: acked });
    expect(batch.status.code).toBe(0);
    for (const job_id of [...acked, "one"]) expect((await client.call("DeleteJob", { job_id })).status.code).toBe(0);
    // Those that were not answered may be there or not; they go too, so that no process is left.
    for (const job_id of ids) await client.call("DeleteJob", { job_id });
    await expect.poll(survivors, { timeout: 20_000 }).toEqual([]);
  });
});
