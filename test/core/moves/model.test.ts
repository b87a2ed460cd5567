/**
 * Random jobs, random reports and commands in any order: what must hold holds after every single move, and a job that
 * nobody disturbs any more comes to an end.
 */

import fc from "fast-check";
import { expect, test } from "vitest";
import { JobError } from "../../../src/core/error.js";
import { jobEnded, type JobState } from "../../../src/core/job.js";
import { command } from "../../../src/core/moves/commands.js";
import { JOB_MOVES, TASK_MOVES } from "../../../src/core/moves/states.js";
import { attemptEnded, attemptStarted, expire } from "../../../src/core/moves/tasks.js";
import { definitionOf, failed, JobInMemory, MASTER, party, succeeded, taskOf } from "../fixtures.js";
import { definitions, steps, take } from "../random-jobs.js";

function checkInvariants(job: JobInMemory): void {
  const tasks = [...job.tasks.values()];
  const count = (test: (t: (typeof tasks)[number]) => boolean) => tasks.filter(test).length;
  expect(job.job.counts).toEqual({
    total: tasks.length,
    live: count((t) => t.live),
    ready: count((t) => t.state === "Pending" && !t.live && t.waitingOn === 0),
    succeeded: count((t) => t.state === "Succeeded"),
    failed: count((t) => t.state === "Failed"),
    criticalFailed: count((t) => t.state === "Failed" && !t.definition.tolerable),
  });
  expect(job.job.counts.live).toBeLessThanOrEqual(job.job.maxParallelism);
  expect(job.job.endedAt !== null).toBe(jobEnded(job.job));
  if (jobEnded(job.job)) {
    expect(job.job.counts.live).toBe(0);
    expect(job.openAttempts()).toEqual([]);
    expect(tasks.filter((t) => t.endedAt === null)).toEqual([]);
    expect(job.job.wanted).toBeNull();
    if (job.job.state !== "Succeeded") expect(job.job.message).not.toBe("");
  }
  // Never "Running" for ever: something lives that will report, or time out.
  if (job.job.state === "Running") expect(job.job.counts.live).toBeGreaterThan(0);
  for (const task of tasks) {
    const waiting = task.definition.dependencies.filter((alias) => job.task(alias).state !== "Succeeded").length;
    expect(task.waitingOn).toBe(waiting);
    if (task.live) expect(task.waitingOn).toBe(0);
    expect(task.endedAt !== null).toBe(task.state === "Succeeded" || task.state === "Failed");
    if (task.state === "Succeeded") expect(task.parties.every((p) => p.state === "Succeeded")).toBe(true);
    if (task.state === "Failed") expect(task.message).not.toBe("");
    const ended = task.state === "Succeeded" || task.state === "Failed";
    if (ended) expect(task.parties.filter((p) => p.state === "Pending" || p.state === "Running")).toEqual([]);
  }
  for (const attempt of job.openAttempts()) {
    const task = job.tasks.get(attempt.taskIndex);
    expect(task).toMatchObject({ live: true, attempt: attempt.number });
  }
}

function checkHistory(job: JobInMemory): void {
  const table: Record<string, readonly string[]> = JOB_MOVES;
  for (const event of job.events) {
    if (event.from === undefined || event.to === undefined || event.from === event.to) continue;
    const legal: Record<string, readonly string[]> = event.kind === "JobMoved" ? table : TASK_MOVES;
    // A party starts anew with its task's next attempt, without an event of its own.
    expect(legal[event.from], `${event.kind} ${event.from} -> ${event.to}`).toContain(event.to);
  }
}

test("after every move the counters, the bounds and the ends are right", () => {
  fc.assert(
    fc.property(definitions, steps, fc.boolean(), (definition, sequence, manual) => {
      const job = new JobInMemory(definition, manual ? ["bob", "carol"] : []);
      checkInvariants(job);
      const closed = new Set<JobState>(["Succeeded", "Cancelled", "ApprovalReject"]);
      for (const step of sequence) {
        const before = { job: job.job, tasks: new Map(job.tasks) };
        try {
          take(job, step);
        } catch (error) {
          if (!(error instanceof JobError)) throw error;
          expect(error.reason).toBe("IllegalMove");
          expect({ job: job.job, tasks: new Map(job.tasks) }).toEqual(before);
        }
        if (closed.has(before.job.state)) expect(job.job.state).toBe(before.job.state);
        for (const [index, task] of before.tasks) {
          if (task.state === "Succeeded") expect(job.tasks.get(index)?.state).toBe("Succeeded");
        }
        checkInvariants(job);
      }
      checkHistory(job);
    }),
    { numRuns: 400 },
  );
});

test("left alone with a runner, every job ends, and as its tasks say", () => {
  fc.assert(
    fc.property(definitions, fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }), (definition, luck) => {
      const job = new JobInMemory(definition);
      const fails = (index: number) => luck[index] === false;
      for (let guard = 0; guard < 200 && !jobEnded(job.job); guard++) {
        const open = job.liveTasks().find((t) => t.runner === null && !t.stopping);
        if (open) job.claim(open.index);
        else {
          const attempt = job.openAttempts()[0];
          if (!attempt) break;
          const end = fails(attempt.taskIndex) ? failed : succeeded;
          job.apply((draft, now) => attemptEnded(draft, end(attempt.uid, now)), attempt.taskIndex);
        }
        checkInvariants(job);
      }
      expect(jobEnded(job.job)).toBe(true);
      const ran = [...job.tasks.values()].filter((t) => t.attempt > 0);
      const criticalFailure = ran.some((t) => t.state === "Failed" && !t.definition.tolerable);
      expect(job.job.state).toBe(criticalFailure ? "Failed" : "Succeeded");
      if (definition.scheduleMode === "BestEffort") {
        // Everything that could run has run: what did not, waits behind something that failed.
        for (const task of job.tasks.values()) if (task.attempt === 0) expect(task.waitingOn).toBeGreaterThan(0);
      }
    }),
    { numRuns: 300 },
  );
});

test("of the ready tasks the one with the highest priority starts first", () => {
  const tasks = [taskOf("low"), taskOf("high", { priority: 5 }), taskOf("middle", { priority: 2 })];
  const job = new JobInMemory(definitionOf(tasks, { maxParallelism: 1 }));
  const order: string[] = [];
  while (!jobEnded(job.job)) {
    const [task] = job.liveTasks();
    if (!task) break;
    order.push(task.definition.alias);
    for (const uid of job.claim(task.index)) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), task.index);
  }
  expect(order).toEqual(["high", "middle", "low"]);
});

test("a report is decided on the reporting task, its dependents and the next ready ones alone", () => {
  const chain = Array.from({ length: 100 }, (_, i) => taskOf(`t${i}`, i === 0 ? {} : { dependencies: [`t${i - 1}`] }));
  const job = new JobInMemory(definitionOf(chain));
  for (let i = 0; i < 100; i++) {
    for (const uid of job.claim(i)) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), i);
  }
  expect(job.job.state).toBe("Succeeded");
  expect(job.replays).toBe(0);
});

test("with replicas a party succeeds when all its instances have, and fails with the first", () => {
  const job = new JobInMemory(definitionOf([taskOf("a", { parties: [party("alice")] })]), [], 3);
  const uids = job.claim(0);
  expect(uids).toHaveLength(3);
  for (const uid of uids.slice(0, 2)) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), 0);
  expect(job.task("a").parties[0]?.state).toBe("Pending");
  job.apply((draft, now) => attemptEnded(draft, succeeded(uids[2] ?? "", now)), 0);
  expect(job.job.state).toBe("Succeeded");
});

test("a late report of an earlier attempt is refused", () => {
  const job = new JobInMemory(definitionOf([taskOf("a")]));
  const [first, other] = job.claim(0);
  job.apply((draft, now) => attemptEnded(draft, failed(first ?? "", now)), 0);
  job.apply((draft, now) => attemptEnded(draft, failed(other ?? "", now)), 0);
  job.apply((draft, now) => command(draft, "Restart", { actor: MASTER, reason: "", now }));
  job.claim(0);
  expect(() => job.apply((draft, now) => attemptEnded(draft, succeeded(first ?? "", now)), 0)).toThrow(JobError);
  expect(job.task("a")).toMatchObject({ state: "Pending", attempt: 2, live: true });
});

test("a task with tries left runs again after its pause, and its dependents never hear of the failed try", () => {
  const retry = { maxAttempts: 3, backoffSeconds: 10 };
  const job = new JobInMemory(definitionOf([taskOf("a", { retry }), taskOf("b", { dependencies: ["a"] })]));
  for (const pause of [10_000, 20_000]) {
    const [alice, bob] = job.claim(0);
    job.apply((draft, now) => attemptEnded(draft, failed(alice ?? "", now, "no luck")), 0);
    job.apply((draft, now) => attemptEnded(draft, failed(bob ?? "", now)), 0);
    expect(job.task("a")).toMatchObject({ state: "Pending", live: true, reason: "WaitingRetry", notBefore: job.now + pause });
    expect(() => job.claim(0)).toThrow(JobError);
    job.now += pause;
  }
  expect(job.task("a")).toMatchObject({ attempt: 3, message: "try 2 of 3 failed: party alice failed: no luck" });
  for (const uid of job.claim(0)) job.apply((draft, now) => attemptEnded(draft, succeeded(uid, now)), 0);
  expect(job.task("a")).toMatchObject({ state: "Succeeded", attempt: 3 });
  expect(job.task("b").live).toBe(true);
});

test("the last try's failure is the task's, and a Restart begins to count anew", () => {
  const job = new JobInMemory(definitionOf([taskOf("a", { retry: { maxAttempts: 2, backoffSeconds: 0 } })]));
  const failTry = () => {
    for (const uid of job.claim(0)) job.apply((draft, now) => attemptEnded(draft, failed(uid, now)), 0);
  };
  failTry();
  expect(job.job.state).toBe("Running");
  failTry();
  expect(job.job.state).toBe("Failed");
  job.apply((draft, now) => command(draft, "Restart", { actor: MASTER, reason: "", now }));
  failTry();
  expect(job.job.state).toBe("Running");
  job.apply((draft, now) => command(draft, "Cancel", { actor: MASTER, reason: "", now }));
  expect(job.job.state).toBe("Cancelled");
});

test("a try that runs too long is stopped; a command is never retried", () => {
  const job = new JobInMemory(definitionOf([taskOf("a", { runTimeoutSeconds: 60, parties: [party("alice")] })]));
  const [uid = ""] = job.claim(0);
  job.apply((draft, now) => attemptStarted(draft, { attemptUid: uid, now }), 0);
  const deadline = job.now + 60_000;
  expect(job.task("a").deadline).toBe(deadline);
  job.apply((draft) => expire(draft, { taskIndex: 0, now: deadline }), 0);
  expect(job.task("a")).toMatchObject({ state: "Running", stopping: { reason: "RunTimeout" } });
  job.apply((draft, now) => attemptEnded(draft, failed(uid, now)), 0);
  expect(job.job).toMatchObject({ state: "Failed", message: "Task[a]-Party[alice]: ran longer than run_timeout_seconds 60" });
});
