/** Jobs that a writer keeps: what its moves begin from must be what is stored, whoever stored it. */

import fc from "fast-check";
import { v7 as uuid } from "uuid";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Attempt, attemptEnded as hasEnded, type Reason, type Task } from "../../src/core/job.js";
import { type JobDraft, JobDraft as Draft, type Slice } from "../../src/core/moves/draft.js";
import { attemptEnded, attemptStarted, claim, reportProgress, waitForRoom } from "../../src/core/moves/tasks.js";
import { submit } from "../../src/core/moves/submit.js";
import { Writer } from "../../src/store/batch.js";
import { KeptJobs } from "../../src/store/kept-jobs.js";
import { loadSlices } from "../../src/store/slices.js";
import { MASTER, taskOf } from "../core/fixtures.js";
import { jobNamed, listenTo, openTestStore, type TestStore } from "./fixtures.js";

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const nothing = { wholeIds: [], wholeUids: [], parts: [], images: [], taskIds: [], requests: [] };

async function stored(uid: string): Promise<Slice> {
  const [slice] = (await loadSlices(store.pool, { ...nothing, wholeUids: [uid] })).slices;
  if (!slice) throw new Error("the job is gone");
  return byIndex(slice);
}

function byIndex({ job, tasks, attempts, complete }: Slice): Slice {
  const uids = attempts.toSorted((one, other) => one.uid.localeCompare(other.uid));
  return { job, tasks: tasks.toSorted((one, other) => one.index - other.index), attempts: uids, complete };
}

async function uidOf(jobId: string, tasks = 3): Promise<string> {
  const definition = jobNamed(jobId, {
    maxParallelism: 2,
    tasks: Array.from({ length: tasks }, (_, i) => taskOf(`t${i}`, { taskId: "", retry: { maxAttempts: 2, backoffSeconds: 0 } })),
  });
  await store.jobs.submit({ definition, surface: "test" }, MASTER);
  return (await store.jobs.query(jobId, MASTER)).job.uid;
}

type Step = "claim" | "start" | "succeed" | "fail" | "progress" | "wait";
const STEPS: readonly Step[] = ["claim", "start", "succeed", "fail", "progress", "wait"];

/** What the step does to a job in this state; undefined where there is nothing to do it to. */
function moveOf(step: Step, { tasks, attempts }: Slice): { touch: number; move: (draft: JobDraft, now: number) => void } | undefined {
  const unclaimed = tasks.find((task) => task.live && task.runner === null);
  const open = attempts.find((attempt) => !hasEnded(attempt));
  const onAttempt = (move: (draft: JobDraft, attempt: Attempt, now: number) => void) =>
    open && { touch: open.taskIndex, move: (draft: JobDraft, now: number) => move(draft, open, now) };
  const onTask = (move: (draft: JobDraft, task: Task, now: number) => void) =>
    unclaimed && { touch: unclaimed.index, move: (draft: JobDraft, now: number) => move(draft, unclaimed, now) };
  const end = (outcome: "Succeeded" | "Failed", reason: Reason, exitCode: number) =>
    onAttempt((draft, { uid }, now) => attemptEnded(draft, { attemptUid: uid, outcome, reason, exitCode, signal: null, message: "", now }));
  const moves = {
    claim: () =>
      onTask((draft, { index, attempt, parties }, now) => {
        const instances = parties.map(({ domain, role }) => ({ attemptUid: uuid(), domain, role, replica: 0, endpoints: [] }));
        claim(draft, { taskIndex: index, number: attempt, runner: "r", instances, now });
      }),
    wait: () =>
      onTask((draft, { index }, now) => waitForRoom(draft, { taskIndex: index, reason: "WaitingResources", message: "full", now })),
    start: () => onAttempt((draft, { uid }, now) => attemptStarted(draft, { attemptUid: uid, now })),
    progress: () => onAttempt((draft, { uid }, now) => void reportProgress(draft, { attemptUid: uid, progress: 0.5, now })),
    succeed: () => end("Succeeded", "None", 0),
    fail: () => end("Failed", "AppFailed", 1),
  } satisfies Record<Step, () => unknown>;
  return moves[step]();
}

test("a move begins from what is stored, over two processes and whatever was done before", async () => {
  const writers = [store.writer, store.secondWriter()];
  let jobs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom(...STEPS), fc.nat(1)), { minLength: 5, maxLength: 30 }), async (steps) => {
      jobs += 1;
      const uid = await uidOf(`model-${jobs}`);
      for (const [step, which] of steps) {
        const before = await stored(uid);
        const made = moveOf(step, before);
        if (!made) continue;
        let begun: Slice | undefined;
        await writers[which]?.change({
          target: { uid },
          touch: made.touch,
          move: (draft, now) => {
            begun = draft.origin;
            made.move(draft, now);
          },
        });
        expect(begun && byIndex(begun)).toEqual(before);
      }
    }),
    { numRuns: 25 },
  );
});

/** A writer of its own, with the statements that it makes, by their names. */
function listeningWriter(): { writer: Writer; statements: string[] } {
  const { pool, statements } = listenTo(store.pool);
  return { writer: new Writer({ pool, now: Date.now }), statements };
}

const waiting = (taskIndex: number, message: string) => (draft: JobDraft, now: number) =>
  waitForRoom(draft, { taskIndex, reason: "WaitingResources", message, now });

test("what was saved just now is not read again; what was changed elsewhere is", async () => {
  const { writer, statements } = listeningWriter();
  const target = { uid: await uidOf("statements") };
  for (const message of ["one", "two", "three"]) await writer.change({ target, touch: 0, move: waiting(0, message) });
  expect(statements).toEqual(["load-slices", "save-batch", "save-batch", "save-batch"]);
  await store.writer.change({ target, touch: 1, move: waiting(1, "elsewhere") });
  statements.length = 0;
  await writer.change({ target, touch: 0, move: waiting(0, "four") });
  expect(statements).toEqual(["save-batch", "load-slices", "save-batch"]);
  expect((await stored(target.uid)).tasks.map((task) => task.message)).toEqual(["four", "elsewhere", ""]);
});

test("neither a refusal nor a move that changes nothing rests on a kept job alone", async () => {
  const { writer } = listeningWriter();
  const target = { uid: await uidOf("refusals") };
  await writer.change({ target, touch: 0, move: waiting(0, "kept") });
  await store.writer.change({ target, touch: 0, move: waiting(0, "newer") });
  expect(await writer.change({ target, touch: 0, move: (draft) => draft.task(0).message })).toBe("newer");
  await store.jobs.command("Delete", "refusals", MASTER, "");
  await expect(writer.change({ target, touch: 0, move: waiting(0, "late") })).rejects.toMatchObject({ reason: "NotFound" });
});

test("the kept jobs are bounded by their tasks, and the oldest goes first", () => {
  const draftOf = (jobId: string, tasks: number): JobDraft => {
    const definition = jobNamed(jobId, { tasks: Array.from({ length: tasks }, (_, i) => taskOf(`t${i}`)) });
    const launches = definition.tasks.map(({ parties }) => ({ imageDigest: "", replicas: parties.map(() => 1) }));
    return submit({ uid: jobId, definition, contentHash: "", surface: "test", actor: MASTER, now: 0, manualDomains: new Set(), launches });
  };
  const kept = new KeptJobs(40);
  const keep = (draft: JobDraft) => kept.keep(draft, draft.job);
  for (let i = 0; i < 6; i += 1) keep(draftOf(`job-${i}`, 10));
  expect([0, 1, 2, 3, 4, 5].filter((i) => kept.get(`job-${i}`) !== undefined)).toEqual([2, 3, 4, 5]);
  keep(draftOf("large", 11));
  expect(kept.get("large")).toBeUndefined();
  const older = draftOf("job-5", 10);
  kept.keep(older, { ...older.job, version: -1 });
  expect(kept.get("job-5")?.job.version).toBe(0);
  const part = new Draft({ job: older.job, tasks: [], attempts: [], complete: false });
  kept.keep(part, { ...older.job, version: 1 });
  expect(kept.get("job-5")).toBeUndefined();
});
