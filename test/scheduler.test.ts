import { v7 as uuid } from "uuid";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { claim } from "../src/core/moves/tasks.js";
import type { JobView } from "../src/core/job.js";
import { Scheduler } from "../src/scheduler.js";
import { Listener } from "../src/store/listen.js";
import { type JobFrame, WatchHub, watchItems } from "../src/watch.js";
import { MASTER, taskOf } from "./core/fixtures.js";
import { FAILURE, FakeRunner, SUCCESS } from "./fake-runner.js";
import { jobNamed, openTestStore, type TestStore } from "./store/fixtures.js";

let store: TestStore;
let hub: WatchHub;
let listener: Listener;
const schedulers: Scheduler[] = [];
const faults: unknown[] = [];
let now: () => number;

beforeEach(async () => {
  store = await openTestStore();
  hub = new WatchHub({ pool: store.pool, heartbeatMs: 60_000, onFault: (error) => faults.push(error) });
  now = Date.now;
  store.onCommit = (commit) => {
    hub.take(commit);
    for (const scheduler of schedulers) scheduler.take(commit);
  };
  listener = new Listener({
    connectionString: store.url,
    pollMs: 60_000,
    onHint: async ({ work, revision }) => {
      if (revision !== undefined && (await store.writer.wrote(revision))) return;
      hub.poke(revision);
      if (work) for (const scheduler of schedulers) scheduler.poke();
    },
    onFault: (error) => faults.push(error),
  });
  await listener.start();
  faults.length = 0;
});
afterEach(async () => {
  for (const scheduler of schedulers.splice(0)) await scheduler.stop();
  await hub.stop();
  await listener.stop();
  await store.close();
  expect(faults).toEqual([]);
});

async function schedule(runner: FakeRunner, leaseMs = 30_000): Promise<Scheduler> {
  const scheduler = new Scheduler({
    pool: store.pool,
    writer: store.writer,
    runner,
    now: () => now(),
    leaseMs,
    history: { maxAgeMs: 3_600_000, maxEvents: 1_000_000 },
    approvalMs: 60_000,
    onFault: (error) => faults.push(error),
  });
  await scheduler.start();
  schedulers.push(scheduler);
  return scheduler;
}

const submit = (jobId: string, more = {}) => store.jobs.submit({ definition: jobNamed(jobId, more), surface: "test" }, MASTER);

/** The job once it looks as asked. */
async function jobWhen(jobId: string, fits: (view: JobView) => boolean): Promise<JobView> {
  const controller = new AbortController();
  for await (const item of watchItems(hub, { actor: MASTER, signal: controller.signal })) {
    if (item.kind === "Heartbeat") continue;
    if (item.kind === "Error") throw new Error(item.message);
    const { view }: JobFrame = item;
    if (view.job.jobId !== jobId || !fits(view)) continue;
    controller.abort();
    return view;
  }
  throw new Error("the watch ended");
}

const isIn = (state: string) => (view: JobView) => view.job.state === state;

test("a job's tasks are launched in turn with what the image and the request say, and the job succeeds", async () => {
  const runner = new FakeRunner();
  await schedule(runner);
  await submit("plain");
  await runner.startOf("a");
  expect(runner.launches).toHaveLength(1);
  expect(runner.launches[0]).toMatchObject({ jobId: "plain", alias: "a", number: 1, image: { name: "image" } });
  expect(runner.launches[0]?.parties.map((p) => p.definition.domain)).toEqual(["alice", "bob"]);
  const running = await jobWhen("plain", (view) => view.tasks[0]?.state === "Running");
  expect(running.tasks[0]?.parties[0]?.endpoints).toEqual([{ portName: "p", scope: "Cluster", endpoint: "127.0.0.1:4000" }]);
  runner.end(SUCCESS);
  await runner.startOf("b");
  runner.end(SUCCESS);
  const done = await jobWhen("plain", isIn("Succeeded"));
  expect(done.tasks.map((task) => task.state)).toEqual(["Succeeded", "Succeeded"]);
});

test("a failing party stops its partner; the job says who failed and why", async () => {
  const runner = new FakeRunner();
  await schedule(runner);
  await submit("failing");
  await runner.startOf("a");
  runner.end(FAILURE, "bob");
  const done = await jobWhen("failing", isIn("Failed"));
  expect(runner.stopped).toHaveLength(1);
  expect(done.job.message).toBe("Task[a]-Party[bob]: it broke");
  expect(done.tasks[0]?.parties.map((p) => [p.domain, p.state, p.reason])).toEqual([
    ["alice", "Failed", "PartnerFailed"],
    ["bob", "Failed", "AppFailed"],
  ]);
  expect(done.tasks[1]).toMatchObject({ state: "Failed", reason: "NotRun" });
});

test.each(["Stop", "Suspend", "Cancel", "Delete"] as const)("%s reaches the running processes", async (verb) => {
  const runner = new FakeRunner();
  await schedule(runner);
  await submit("commanded");
  await runner.startOf("a");
  await jobWhen("commanded", (view) => view.tasks[0]?.state === "Running");
  await store.jobs.command(verb, "commanded", MASTER, "");
  const goal = { Stop: "Failed", Suspend: "Suspended", Cancel: "Cancelled", Delete: "gone" }[verb];
  if (goal === "gone") {
    await expect.poll(() => store.query("select 1 from jobs where job_id = 'commanded'")).toEqual([]);
  } else await jobWhen("commanded", isIn(goal));
  expect(runner.stopped).toHaveLength(2);
  expect(runner.running.size).toBe(0);
});

test("a suspended job that is restarted runs the same task again under a new attempt number", async () => {
  const runner = new FakeRunner();
  await schedule(runner);
  await submit("again");
  await runner.startOf("a");
  await jobWhen("again", (view) => view.tasks[0]?.state === "Running");
  await store.jobs.command("Suspend", "again", MASTER, "");
  await jobWhen("again", isIn("Suspended"));
  await store.jobs.command("Restart", "again", MASTER, "");
  await runner.startOf("a", 2);
  expect(runner.launches.map((launch) => launch.number)).toEqual([1, 2]);
});

test("without room the task says what it waits for, and starts when there is room", async () => {
  const runner = new FakeRunner();
  runner.full = "needs cpu 4, 1 of 2 free";
  const scheduler = await schedule(runner);
  await submit("roomless");
  const waiting = await jobWhen("roomless", (view) => view.tasks[0]?.reason === "WaitingResources");
  expect(waiting.tasks[0]).toMatchObject({ state: "Pending", message: "needs cpu 4, 1 of 2 free" });
  runner.full = null;
  scheduler.poke();
  await runner.startOf("a");
});

test("room that is freed while a refusal is being saved is not overlooked", async () => {
  const runner = new FakeRunner();
  // No ticker makes a round before the test is over.
  const scheduler = await schedule(runner, 3_600_000);
  await submit("holds");
  await runner.startOf("a");
  // Refused, and told so to the store, which takes its time.
  const change = store.writer.change.bind(store.writer);
  let save = (): void => undefined;
  const saving = new Promise<void>((resolve) => (save = resolve));
  let refused = (): void => undefined;
  const refusal = new Promise<void>((resolve) => (refused = resolve));
  vi.spyOn(store.writer, "change").mockImplementationOnce(async (request) => {
    refused();
    await saving;
    return change(request);
  });
  runner.full = "no room";
  await submit("waits");
  await refusal;
  // A round in between finds it being claimed.
  await scheduler.runOnce();
  runner.full = null;
  runner.end(FAILURE);
  await jobWhen("holds", isIn("Failed"));
  save();
  await runner.startOf("a", 2);
});

test("a domain that no runner serves is named", async () => {
  await schedule(new FakeRunner("alice-only", new Set(["alice"])));
  await submit("unserved");
  const waiting = await jobWhen("unserved", (view) => view.tasks[0]?.message !== "");
  expect(waiting.tasks[0]).toMatchObject({ reason: "WaitingRunner", message: 'no runner serves domain "bob"' });
});

test("a task that nobody starts in time fails with what it waited for", async () => {
  const runner = new FakeRunner();
  runner.full = "needs memory 1Ti, 8Gi free";
  const scheduler = await schedule(runner);
  const schedule300 = { taskTimeoutSeconds: 300, resourceReservedSeconds: 30, resourceReallocationIntervalSeconds: 30 };
  await submit("overdue", { tasks: [taskOf("a", { taskId: "", schedule: schedule300 })] });
  await jobWhen("overdue", (view) => view.tasks[0]?.reason === "WaitingResources");
  now = () => Date.now() + 299_000;
  await scheduler.keepTime();
  expect((await store.jobs.query("overdue", MASTER)).job.state).toBe("Running");
  // The deadline is judged by the writer's clock too, so it is moved rather than waited for.
  await store.query("update tasks set deadline = now() - interval '1 second', created_at = now() - interval '301 seconds'");
  await scheduler.keepTime();
  const done = await jobWhen("overdue", isIn("Failed"));
  expect(done.tasks[0]).toMatchObject({
    reason: "SchedulingTimeout",
    message: "not started within 300 s: needs memory 1Ti, 8Gi free",
  });
});

test("after a crash the open attempts are given to the runner; what is lost fails with the reason", async () => {
  const before = new FakeRunner();
  const first = await schedule(before);
  await submit("crashed");
  await before.startOf("a");
  await jobWhen("crashed", (view) => view.tasks[0]?.state === "Running");
  // The first server says nothing any more.
  schedulers.splice(schedulers.indexOf(first), 1);
  await first.stop();
  const after = new FakeRunner();
  await schedule(after);
  expect(after.adopted.map((attempt) => [attempt.domain, attempt.state])).toEqual([
    ["alice", "Running"],
    ["bob", "Running"],
  ]);
  for (const attempt of after.adopted) after.reportLost(attempt.uid);
  const done = await jobWhen("crashed", isIn("Failed"));
  expect(done.job.message).toMatch(/^Task\[a\]-Party\[(alice|bob)\]: the process ended unseen/);
});

test("attempts of a runner whose lease has lapsed are ended by any other server", async () => {
  const gone = new FakeRunner("gone");
  const first = await schedule(gone);
  await submit("orphaned");
  await gone.startOf("a");
  await jobWhen("orphaned", (view) => view.tasks[0]?.state === "Running");
  schedulers.splice(schedulers.indexOf(first), 1);
  await first.stop();
  const other = await schedule(new FakeRunner("other"));
  await other.keepLeases();
  expect((await store.jobs.query("orphaned", MASTER)).job.state).toBe("Running");
  await store.query("update runners set lease_until = now() - interval '1 second' where id = 'gone'");
  await other.keepLeases();
  const done = await jobWhen("orphaned", isIn("Failed"));
  expect(done.job.message).toMatch(/the runner that executed it is gone/);
});

test("a runner that was only paused stops its processes when it finds them ended", async () => {
  const paused = new FakeRunner("paused");
  const scheduler = await schedule(paused);
  await submit("fenced");
  await paused.startOf("a");
  await jobWhen("fenced", (view) => view.tasks[0]?.state === "Running");
  const other = await schedule(new FakeRunner("other"));
  await store.query("update runners set lease_until = now() - interval '1 second' where id = 'paused'");
  await other.keepLeases();
  await jobWhen("fenced", isIn("Failed"));
  await scheduler.keepLeases();
  expect(paused.running.size).toBe(0);
  expect(paused.stopped).toHaveLength(2);
});

test("two servers never both run one task", async () => {
  const runners = [new FakeRunner("one"), new FakeRunner("two")];
  for (const runner of runners) await schedule(runner);
  await Promise.all(Array.from({ length: 20 }, (_, i) => submit(`shared-${i}`)));
  for (let i = 0; i < 20; i++) await jobWhen(`shared-${i}`, (view) => view.tasks[0]?.state === "Running");
  expect(runners.flatMap((runner) => runner.launches)).toHaveLength(20);
  expect(new Set(runners.flatMap((runner) => runner.launches).map((launch) => launch.jobId)).size).toBe(20);
});

test("a claim that was saved though its answer was lost is taken up, and its attempts are brought to an end", async () => {
  const runner = new FakeRunner();
  const scheduler = await schedule(runner);
  runner.full = "not now";
  await submit("forgotten");
  await jobWhen("forgotten", (view) => view.tasks[0]?.reason === "WaitingResources");
  const [{ uid } = { uid: "" }] = await store.query<{ uid: string }>("select uid from jobs where job_id = 'forgotten'");
  const instances = ["alice", "bob"].map((domain) => ({ attemptUid: uuid(), domain, role: "", replica: 0, endpoints: [] }));
  const move = { taskIndex: 0, number: 1, runner: runner.id, instances };
  await store.writer.change({ target: { uid }, touch: 0, move: (draft, at) => claim(draft, { ...move, now: at }) });
  await scheduler.keepLeases();
  expect(runner.adopted.map((attempt) => attempt.uid).sort()).toEqual(instances.map((each) => each.attemptUid).sort());
  for (const attempt of runner.adopted) runner.reportLost(attempt.uid);
  await jobWhen("forgotten", isIn("Failed"));
});

test("what another process has committed is claimed too", async () => {
  const runner = new FakeRunner();
  await schedule(runner);
  store.onCommit = () => undefined;
  vi.spyOn(store.writer, "wrote").mockResolvedValue(false);
  await submit("foreign");
  await runner.startOf("a");
});

test("a job that waits for approval longer than is allowed is rejected", async () => {
  const manual = await openTestStore({ manualDomains: ["bob"] });
  await manual.jobs.submit({ definition: jobNamed("unheard"), surface: "test" }, MASTER);
  const scheduler = new Scheduler({
    pool: manual.pool,
    writer: manual.writer,
    runner: new FakeRunner(),
    now: () => now(),
    leaseMs: 30_000,
    history: { maxAgeMs: 3_600_000, maxEvents: 1_000_000 },
    approvalMs: 60_000,
    onFault: (error) => faults.push(error),
  });
  const state = async () => (await manual.jobs.query("unheard", MASTER)).job;
  await scheduler.keepApprovals();
  expect(await state()).toMatchObject({ state: "AwaitingApproval" });
  now = () => Date.now() + 60_001;
  await scheduler.keepApprovals();
  expect(await state()).toMatchObject({ state: "ApprovalReject", message: "not approved in time by bob" });
  await manual.close();
});

test("hints that come before the scheduler serves begin nothing", async () => {
  const runner = new FakeRunner();
  const scheduler = new Scheduler({
    pool: store.pool,
    writer: store.writer,
    runner,
    now: Date.now,
    leaseMs: 30_000,
    history: { maxAgeMs: 3_600_000, maxEvents: 1_000_000 },
    approvalMs: 60_000,
    onFault: (error) => faults.push(error),
  });
  await submit("early");
  scheduler.poke();
  await new Promise((resolve) => setImmediate(resolve));
  expect(runner.launches).toEqual([]);
  schedulers.push(scheduler);
  await scheduler.start();
  await runner.startOf("a");
});
