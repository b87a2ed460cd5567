/** The main job on the real product: a server process, foreign clients, the example's two processes, real data. */

import { readFileSync } from "node:fs";
import { mkdtemp, chmod, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { prepareData } from "../examples/psi/prepare.mjs";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { followJob, type GrpcClient, openGrpcClient, type WireJob } from "./grpc-client.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const request = JSON.parse(readFileSync("examples/psi/request.json", "utf8")) as { job_id: string; tasks: { alias: string; task_input_config: string }[] };

let folder: string;
let database: TestDatabase;
let server: ServerProcess;
let client: GrpcClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-main-"));
  await chmod(folder, 0o711);
  database = await createTestDatabase();
  const args = ["--app-images", "examples/psi"];
  server = await startServerProcess({ dataDirectory: join(folder, "data"), databaseUrl: database.url, args });
  client = openGrpcClient(server.url);
});
afterAll(async () => {
  client.close();
  expect(await server.stop()).toBe(0);
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const file = (domain: string, name: string) => join(folder, "data", "domains", domain, "data", name);

/** Rows of a table without its header, by a reader of our own: the example's tables quote nothing but commas. */
function rowsOf(path: string): string[][] {
  return readFileSync(path, "utf8").trimEnd().split("\n").slice(1).map((line) => (line.match(/("([^"]|"")*"|[^,]*)(,|$)/g) ?? []).map((c) => c.replace(/,$/, "")));
}

const ended = (job: WireJob) => ["Succeeded", "Failed", "Cancelled"].includes(job.state);

test("the published request runs: watched step by step, and the result is the true intersection", async () => {
  await prepareData(file("alice", ""), file("bob", ""));
  expect((await client.call("CreateJob", request)).status).toMatchObject({ code: 0, message: "success" });
  const { last, events } = await followJob(client, request.job_id, ended);
  expect(last).toMatchObject({ state: "Succeeded", err_msg: "" });

  expect(events[0]?.type).toBe("ADDED");
  expect(events.slice(1).every((event) => event.type === "MODIFIED")).toBe(true);
  const rank = { Pending: 0, Running: 1, Succeeded: 2 } as Record<string, number>;
  for (const alias of ["job-psi", "job-split"]) {
    const states = events.map((event) => event.object?.status.tasks.find((task) => task.alias === alias)?.state ?? "?");
    const order = states.map((state) => rank[state] ?? -1);
    expect(order, `${alias}: ${states.join(" ")}`).toEqual([...order].sort((a, b) => a - b));
    expect(states).toContain("Running");
    expect(states.at(-1)).toBe("Succeeded");
  }
  const [psi, split] = last.tasks;
  expect(psi && split && psi.end_time <= split.start_time).toBe(true);
  for (const task of last.tasks) {
    expect(task.parties.map((party) => [party.domain_id, party.state])).toEqual([
      ["alice", "Succeeded"],
      ["bob", "Succeeded"],
    ]);
    expect(task.parties.every((party) => /^127\.0\.0\.1:\d+$/.test(party.endpoints[0]?.endpoint ?? ""))).toBe(true);
  }

  // The intersection, computed from the two inputs by means of its own.
  const keysOf = (domain: string, table: string) => rowsOf(file(domain, table)).map((row) => row[0] ?? "");
  const bobKeys = new Set(keysOf("bob", "bob-table.csv"));
  const shared = new Set(keysOf("alice", "alice-table.csv").filter((key) => bobKeys.has(key)));
  const report = JSON.parse(readFileSync(file("bob", "psi-output.report.json"), "utf8")) as { intersection_size: number };
  expect(report.intersection_size).toBe(shared.size);
  // Left join with alice on the left: all her rows, sorted; bob's cells are filled exactly where the key is shared.
  const left = rowsOf(file("alice", "psi-output.csv"));
  const right = rowsOf(file("bob", "psi-output.csv"));
  expect(left).toHaveLength(keysOf("alice", "alice-table.csv").length);
  expect(right).toHaveLength(left.length);
  left.forEach((row, i) => expect(right[i]?.[0]).toBe(shared.has(row[0] ?? "") ? row[0] : ""));
  const keys = left.map((row) => row[0] ?? "");
  expect(keys).toEqual(keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  // The split takes the same rows at both.
  for (const name of ["train-dataset.csv", "test-dataset.csv"]) {
    const a = rowsOf(file("alice", name));
    const b = rowsOf(file("bob", name));
    expect(a).toHaveLength(b.length);
    a.forEach((row, i) => expect(b[i]?.[0]).toBe(shared.has(row[0] ?? "") ? row[0] : ""));
  }
});

test("a failure of the app is told as it said it, for the party where it happened", async () => {
  const broken = structuredClone(request);
  broken.job_id = "job-broken";
  broken.tasks = broken.tasks.slice(0, 1).map((task) => ({
    ...task,
    task_id: "job-broken-psi",
    task_input_config: task.task_input_config.replace('"id2"', '"id9"'),
  }));
  expect((await client.call("CreateJob", broken)).status.code).toBe(0);
  const { last } = await followJob(client, "job-broken", ended);
  expect(last.state).toBe("Failed");
  expect(last.err_msg).toMatch(/^Task\[job-psi\]-Party\[bob\]: .*id9/);
  const query = await client.call("QueryJob", { job_id: "job-broken" });
  expect(query.data?.status?.tasks[0]?.parties.find((party) => party.domain_id === "bob")?.err_msg).toMatch(/id9/);
  const logs = await fetch(`${server.url}/v1/jobs/job-broken/logs?task=job-psi&domain_id=bob`);
  expect(await logs.json()).toMatchObject({ logs: [{ domain_id: "bob", state: "Failed", exit_code: 1, text: expect.stringContaining("id9") }] });
});
