/** Random jobs, and random reports and commands for them. */

import fc from "fast-check";
import type { JobDefinition, TaskRequest } from "../../src/core/job.js";
import { approve, command } from "../../src/core/moves/commands.js";
import { attemptEnded, attemptStarted, expire } from "../../src/core/moves/tasks.js";
import { definitionOf, failed, type JobInMemory, MASTER, party, succeeded, taskOf } from "./fixtures.js";

/** Up to ten tasks, each after some earlier ones. */
export const definitions: fc.Arbitrary<JobDefinition> = fc
  .array(
    fc.record({
      before: fc.array(fc.nat({ max: 9 }), { maxLength: 3 }),
      tolerable: fc.boolean(),
      priority: fc.integer({ min: -2, max: 2 }),
      domains: fc.subarray(["alice", "bob", "carol"], { minLength: 1 }),
      tries: fc.integer({ min: 1, max: 3 }),
      runTimeoutSeconds: fc.constantFrom(0, 5),
    }),
    { minLength: 1, maxLength: 10 },
  )
  .chain((tasks) =>
    fc.record({
      tasks: fc.constant(tasks),
      maxParallelism: fc.integer({ min: 1, max: 4 }),
      scheduleMode: fc.constantFrom("BestEffort" as const, "Strict" as const),
    }),
  )
  .map(({ tasks, ...more }) => {
    const built: TaskRequest[] = [];
    tasks.forEach((task, i) => {
      // Earlier tasks only, so it is a DAG; tolerable ones cannot be depended on.
      const before = [...new Set(task.before)].filter((b) => b < i && !built[b]?.tolerable);
      built.push(
        taskOf(`t${i}`, {
          dependencies: before.map((b) => `t${b}`),
          tolerable: task.tolerable,
          priority: task.priority,
          parties: task.domains.map((domain) => party(domain)),
          retry: { maxAttempts: task.tries, backoffSeconds: 0 },
          runTimeoutSeconds: task.runTimeoutSeconds,
        }),
      );
    });
    return definitionOf(built, more);
  });

export type Step =
  | { kind: "claim" | "start" | "succeed" | "fail" | "expire"; pick: number }
  | { kind: "command"; verb: "Stop" | "Suspend" | "Restart" | "Cancel" }
  | { kind: "approve"; accept: boolean };

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 20, arbitrary: fc.record({ kind: fc.constantFrom("claim" as const, "start" as const), pick: fc.nat() }) },
    { weight: 20, arbitrary: fc.record({ kind: fc.constant("succeed" as const), pick: fc.nat() }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("fail" as const, "expire" as const), pick: fc.nat() }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant("command" as const),
        verb: fc.constantFrom("Stop" as const, "Suspend" as const, "Restart" as const, "Cancel" as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("approve" as const), accept: fc.boolean() }) },
  ),
  { maxLength: 120 },
);

/** Throws JobError where the job does not allow it; a report about nothing changes nothing. */
export function take(job: JobInMemory, step: Step): void {
  const pickFrom = <T>(list: readonly T[], n: number): T | undefined => list[n % Math.max(1, list.length)];
  if (step.kind === "command") {
    job.apply((draft, now) => command(draft, step.verb, { actor: MASTER, reason: "", now }));
  } else if (step.kind === "approve") {
    const decision = step.accept ? "JobAccepted" : "JobRejected";
    job.apply((draft, now) => approve(draft, { decision, actor: MASTER, reason: "", now }));
  } else if (step.kind === "claim") {
    const task = pickFrom(job.liveTasks().filter((t) => t.runner === null && !t.stopping), step.pick);
    if (task) job.claim(task.index);
  } else if (step.kind === "expire") {
    const task = pickFrom(job.liveTasks().filter((t) => t.deadline !== null), step.pick);
    if (task) job.apply((draft) => expire(draft, { taskIndex: task.index, now: task.deadline ?? 0 }), task.index);
  } else {
    const attempt = pickFrom(job.openAttempts(), step.pick);
    if (!attempt) return;
    const uid = attempt.uid;
    if (step.kind === "start") job.apply((draft, now) => attemptStarted(draft, { attemptUid: uid, now }), attempt.taskIndex);
    else {
      const end = step.kind === "succeed" ? succeeded : failed;
      job.apply((draft, now) => attemptEnded(draft, end(uid, now)), attempt.taskIndex);
    }
  }
}
