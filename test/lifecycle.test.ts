/** Commands, approvals, domains and credentials on the real product, over gRPC and REST. */

import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { followJob, type GrpcClient, openGrpcClient } from "./grpc-client.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

/** Fails on its first run in a domain, succeeds on the next. */
const RETRIED = `
const { existsSync, writeFileSync } = require("node:fs");
const mark = process.env.MUSTER_DOMAIN_DATA + "/tried";
if (existsSync(mark)) process.exit(0);
writeFileSync(mark, "");
process.exit(9);
`;

let folder: string;
let database: TestDatabase;
let server: ServerProcess;
let client: GrpcClient;

const SETTINGS = `
domains:
  alice:
  bob: {approval: manual}
  carol:
runner: {cpu: 2, memory: 1Gi}
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-life-"));
  await chmod(folder, 0o711);
  await writeFile(join(folder, "muster.yaml"), SETTINGS);
  database = await createTestDatabase();
  const args = ["--config", join(folder, "muster.yaml"), "--heartbeat-seconds", "0.2"];
  server = await startServerProcess({ dataDirectory: join(folder, "data"), databaseUrl: database.url, args });
  client = openGrpcClient(server.url);
  for (const [name, args2] of [["sleeper", ["-e", "setInterval(() => {}, 1000)"]], ["quick", ["-e", ""]]] as const) {
    const container = { name: "app", command: ["node"], args: args2 };
    const image = { name, image: { name }, deploy_templates: [{ name: "main", containers: [container] }] };
    expect((await client.call("CreateAppImage", image)).status.code).toBe(0);
  }
});
afterAll(async () => {
  client.close();
  expect(await server.stop()).toBe(0);
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const job = (job_id: string, app_image: string, domains = ["alice", "carol"], more = {}) => ({
  job_id,
  initiator: "alice",
  tasks: [{ alias: "a", app_image, parties: domains.map((domain_id) => ({ domain_id })), ...more }],
});
const codeOf = async (method: string, request: object) => (await client.call(method, request)).status.code;
const stateIs = (state: string) => (status: { state: string }) => status.state === state;
const running = (status: { tasks: readonly { state: string }[] }) => status.tasks[0]?.state === "Running";

describe("commands", () => {
  test("suspend, restart, stop, cancel and delete, with their codes, to the end of every process", async () => {
    expect(await codeOf("CreateJob", job("life", "sleeper"))).toBe(0);
    await followJob(client, "life", running);
    expect(await codeOf("RestartJob", { job_id: "life" })).toBe(11211);
    expect(await codeOf("SuspendJob", { job_id: "life", reason: "lunch" })).toBe(0);
    await followJob(client, "life", stateIs("Suspended"));
    expect(await codeOf("SuspendJob", { job_id: "life" })).toBe(0);
    expect(await codeOf("RestartJob", { job_id: "life" })).toBe(0);
    await followJob(client, "life", running);
    expect(await codeOf("StopJob", { job_id: "life", reason: "enough" })).toBe(0);
    const stopped = await followJob(client, "life", stateIs("Failed"));
    expect(stopped.last.err_msg).toBe("stopped by master: enough");
    expect(await codeOf("StopJob", { job_id: "life" })).toBe(0);
    expect(await codeOf("SuspendJob", { job_id: "life" })).toBe(11210);
    expect(await codeOf("CancelJob", { job_id: "life" })).toBe(0);
    await followJob(client, "life", stateIs("Cancelled"));
    expect(await codeOf("RestartJob", { job_id: "life" })).toBe(11211);
    expect(await codeOf("DeleteJob", { job_id: "life" })).toBe(0);
    expect(await codeOf("QueryJob", { job_id: "life" })).toBe(11202);
    expect(await codeOf("DeleteJob", { job_id: "life" })).toBe(11204);
  });

  test("a command without effect has its own code", async () => {
    expect(await codeOf("CreateJob", job("done", "quick"))).toBe(0);
    await followJob(client, "done", stateIs("Succeeded"));
    expect(await codeOf("StopJob", { job_id: "done" })).toBe(11205);
    expect(await codeOf("CancelJob", { job_id: "done" })).toBe(11209);
    expect(await codeOf("ApproveJob", { job_id: "done", result: "APPROVE_RESULT_ACCEPT" })).toBe(11206);
    expect(await codeOf("StopJob", { job_id: "absent" })).toBe(11205);
  });
});

describe("approvals", () => {
  test("a domain that decides by hand is waited for; its acceptance starts the job", async () => {
    expect(await codeOf("CreateJob", job("asked", "quick", ["alice", "bob"]))).toBe(0);
    const waiting = await client.call("QueryJob", { job_id: "asked" });
    expect(waiting.data?.status).toMatchObject({ state: "AwaitingApproval", start_time: "" });
    expect(await codeOf("ApproveJob", { job_id: "asked" })).toBe(11100);
    expect(await codeOf("ApproveJob", { job_id: "asked", result: "APPROVE_RESULT_ACCEPT" })).toBe(0);
    await followJob(client, "asked", stateIs("Succeeded"));
  });

  test("a rejection ends it, with the reason", async () => {
    expect(await codeOf("CreateJob", job("rejected", "quick", ["alice", "bob"]))).toBe(0);
    expect(await codeOf("ApproveJob", { job_id: "rejected", result: "APPROVE_RESULT_REJECT", reason: "not our data" })).toBe(0);
    const { last } = await followJob(client, "rejected", stateIs("ApprovalReject"));
    expect(last.err_msg).toBe("rejected by bob: not our data");
    expect(await codeOf("ApproveJob", { job_id: "rejected", result: "APPROVE_RESULT_ACCEPT" })).toBe(11206);
  });
});

describe("what is refused at submit", () => {
  test.each<[string, object, string]>([
    ["a domain that is not configured", job("x", "quick", ["alice", "dave"]), 'tasks[0].parties[1].domain_id: domain "dave" is not known here'],
    ["an image that is not there", job("x", "nowhere"), 'tasks[0].app_image: app image "nowhere" not found'],
    ["a bad job_id", job("X", "quick"), "job_id: must match"],
    ["a cycle", job("x", "quick", ["alice"], { dependencies: ["a"] }), "tasks: the dependencies form a cycle: a -> a"],
  ])("%s", async (_name, request, message) => {
    const { status } = await client.call("CreateJob", request);
    expect(status.code).toBe(11100);
    expect(status.message.startsWith(message)).toBe(true);
    expect(await codeOf("QueryJob", { job_id: "x" })).toBe(11202);
  });
});

test("a task that fails is tried again, one that runs too long is stopped, and the history says who did what", async () => {
  const container = { name: "app", command: ["node"], args: ["-e", RETRIED] };
  const image = { name: "flaky", image: { name: "flaky" }, deploy_templates: [{ name: "main", containers: [container] }] };
  expect((await client.call("CreateAppImage", image)).status.code).toBe(0);
  expect(await codeOf("CreateJob", job("retried", "flaky", ["alice"], { retry: { max_attempts: 3 } }))).toBe(0);
  const { last } = await followJob(client, "retried", (status) => ["Succeeded", "Failed"].includes(status.state));
  expect(last.state).toBe("Succeeded");
  expect(last.tasks[0]).toMatchObject({ attempt: 2 });

  expect(await codeOf("CreateJob", job("endless", "sleeper", ["alice"], { run_timeout_seconds: 1 }))).toBe(0);
  const stopped = await followJob(client, "endless", stateIs("Failed"));
  expect(stopped.last.err_msg).toBe("Task[a]-Party[alice]: ran longer than run_timeout_seconds 1");
  expect(stopped.last.tasks[0]).toMatchObject({ reason: { reason: "RunTimeout" } });

  expect(await codeOf("CancelJob", { job_id: "endless", reason: "no use" })).toBe(0);
  const query = await fetch(`${server.url}/api/v1/job/query`, {
    method: "POST",
    headers: { "content-type": "application/json", "muster-extensions": "1" },
    body: '{"job_id":"endless"}',
  });
  expect(await query.json()).toMatchObject({
    data: {
      tasks: [{ run_timeout_seconds: 1, tolerable: false }],
      schedule_mode: "BestEffort",
      command_history: [{ command: "Cancel", domain_id: "", role: "master", reason: "no use", result: "Cancelled" }],
      status: { state: "Cancelled", reason: { reason: "Cancelled", message: "cancelled by master: no use" } },
    },
  });
});

test("Strict ends the job with the first failure", async () => {
  const tasks = [
    { alias: "bad", app_image: "broken", parties: [{ domain_id: "alice" }], priority: 1 },
    { alias: "long", app_image: "sleeper", parties: [{ domain_id: "carol" }] },
  ];
  const container = { name: "app", command: ["node"], args: ["-e", "process.exit(4)"] };
  const image = { name: "broken", image: { name: "broken" }, deploy_templates: [{ name: "main", containers: [container] }] };
  expect((await client.call("CreateAppImage", image)).status.code).toBe(0);
  const request = { job_id: "strict", initiator: "alice", max_parallelism: 2, schedule_mode: "Strict", tasks };
  expect(await codeOf("CreateJob", request)).toBe(0);
  const { last } = await followJob(client, "strict", stateIs("Failed"));
  expect(last.tasks[1]?.err_msg).toMatch(/^Task\[bad\]-Party\[alice\]: .*code 4/);
});

test("what needs more than the runner has left waits, says for what, and runs when there is room", async () => {
  const needs = (cpu: string) => ({ parties: [{ domain_id: "alice", resources: { cpu, memory: "100Mi" } }] });
  expect(await codeOf("CreateJob", job("large", "sleeper", [], needs("1500m")))).toBe(0);
  await followJob(client, "large", running);
  expect(await codeOf("CreateJob", job("queued", "quick", [], needs("1")))).toBe(0);
  await expect
    .poll(async () => (await fetch(`${server.url}/metrics`)).status)
    .toBe(200);
  const queued = await client.call("QueryJob", { job_id: "queued" });
  expect(queued.data?.status?.tasks[0]?.state).toBe("Pending");
  expect(await codeOf("CancelJob", { job_id: "large" })).toBe(0);
  await followJob(client, "queued", stateIs("Succeeded"));
});

test("on REST a watch is JSON lines with heartbeats, seen beside gRPC", async () => {
  const leave = new AbortController();
  const response = await fetch(`${server.url}/api/v1/job/watch`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
    signal: leave.signal,
  });
  expect(await codeOf("CreateJob", job("seen", "quick"))).toBe(0);
  const types: number[] = [];
  let rest = "";
  let over = false;
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const frame = JSON.parse(line) as { type: number; object?: { job_id: string; status: { state: string } } };
      types.push(frame.type);
      over ||= frame.object?.job_id === "seen" && frame.object.status.state === "Succeeded";
    }
    // A heartbeat after the job's end: the quiet period of this server is short.
    if (over && types.at(-1) === 4) break;
  }
  leave.abort();
  expect(new Set(types)).toEqual(new Set([0, 1, 4]));
});

test("with a token file callers need a token, on every protocol", async () => {
  await writeFile(join(folder, "tokens"), "# the team's\nsecret-one\nsecret-two\n");
  const guarded = await startServerProcess({ databaseUrl: database.url, args: ["--token-file", join(folder, "tokens")] });
  try {
    const post = (headers: Record<string, string>) =>
      fetch(`${guarded.url}/api/v1/job/query`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: '{"job_id":"done"}',
      });
    expect((await post({})).status).toBe(401);
    expect((await post({ token: "secret-three" })).status).toBe(401);
    expect((await post({ token: "secret-two" })).status).toBe(200);
    expect((await post({ authorization: "Bearer secret-one" })).status).toBe(200);
    const stranger = openGrpcClient(guarded.url);
    await expect(stranger.call("QueryJob", { job_id: "done" })).rejects.toThrow(/UNAUTHENTICATED/);
    stranger.close();
  } finally {
    await guarded.stop();
  }
});

test("on its own embedded Postgres a killed server starts again with everything it had answered", async () => {
  const data = join(folder, "embedded");
  const first = await startServerProcess({ dataDirectory: data });
  const one = openGrpcClient(first.url);
  const container = { name: "app", command: ["node"], args: ["-e", ""] };
  const image = { name: "kept", image: { name: "kept" }, deploy_templates: [{ name: "main", containers: [container] }] };
  expect((await one.call("CreateAppImage", image)).status.code).toBe(0);
  expect((await one.call("CreateJob", job("kept", "kept"))).status.code).toBe(0);
  one.close();
  await first.kill9();
  const second = await startServerProcess({ dataDirectory: data });
  const two = openGrpcClient(second.url);
  const ended = await followJob(two, "kept", (status) => ["Succeeded", "Failed"].includes(status.state));
  // Between the answer and the kill the task may have been claimed and not started; then it is lost, and says so.
  expect(ended.last.state === "Succeeded" || /process ended unseen/.test(ended.last.err_msg)).toBe(true);
  two.close();
  expect(await second.stop()).toBe(0);
});

test("a second server on the same data directory is refused, with the process that holds it", async () => {
  await expect(startServerProcess({ dataDirectory: join(folder, "data"), databaseUrl: database.url })).rejects.toThrow(
    new RegExp(`is in use by process ${server.pid}`),
  );
});
