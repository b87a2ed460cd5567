import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Attempt } from "../src/core/job.js";
import { createLogs, DEFAULT_TAIL_BYTES, type Logs, MAX_TAIL_BYTES } from "../src/logs.js";
import type { AttemptLog } from "../src/runner.js";
import { MASTER } from "./core/fixtures.js";
import { jobNamed, openTestStore, type TestStore } from "./store/fixtures.js";

/** Logs without an end: each read is answered in full, as one turn later. */
class EndlessLogs {
  reads: { readonly attempt: Attempt; readonly tailBytes: number }[] = [];
  open = 0;
  mostOpen = 0;
  letter = "x";

  async readLog(attempt: Attempt, tailBytes: number): Promise<AttemptLog> {
    this.reads.push({ attempt, tailBytes });
    this.open += 1;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    await new Promise(setImmediate);
    this.open -= 1;
    return { text: this.letter.repeat(tailBytes), truncated: false };
  }
}

let store: TestStore;
let logs: Logs;
let runner: EndlessLogs;

beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());
beforeEach(() => {
  runner = new EndlessLogs();
  logs = createLogs({ pool: store.pool, jobs: store.jobs, runner });
});

/** A job whose task `a` has so many replicas running at alice. */
async function jobWithReplicas(replicas: number): Promise<string> {
  const jobId = `job-${randomUUID()}`;
  await store.jobs.submit({ definition: jobNamed(jobId), surface: "test" }, MASTER);
  const { job } = await store.jobs.query(jobId, MASTER);
  await store.query(
    `insert into attempts (uid, job_uid, task_idx, number, domain, role, replica, runner, state, message, created_at)
     select gen_random_uuid(), $1, 0, 1, 'alice', '', replica, 'r', 'Running', '', now()
     from generate_series(0, $2 - 1) replica`,
    [job.uid, replicas],
  );
  return jobId;
}

const read = (jobId: string, tailBytes: number) =>
  logs.read({ jobId, task: "", domain: "", attempt: 0, tailBytes }, MASTER);
const bytesOf = (texts: readonly { readonly text: string }[]) => texts.map(({ text }) => Buffer.byteLength(text));
const sum = (numbers: readonly number[]) => numbers.reduce((one, other) => one + other, 0);

test("one log may fill the answer, several get what was asked for while they fit", async () => {
  expect(bytesOf(await read(await jobWithReplicas(1), MAX_TAIL_BYTES))).toEqual([MAX_TAIL_BYTES]);
  expect(bytesOf(await read(await jobWithReplicas(3), DEFAULT_TAIL_BYTES))).toEqual(Array(3).fill(DEFAULT_TAIL_BYTES));
});

test("many logs share the bound of the answer evenly, and few are read at once", async () => {
  const found = await read(await jobWithReplicas(3000), MAX_TAIL_BYTES);
  expect(found.map((log) => log.replica)).toEqual(Array.from({ length: 3000 }, (_, i) => i));
  expect(new Set(bytesOf(found))).toEqual(new Set([Math.floor(MAX_TAIL_BYTES / 3000)]));
  expect(sum(bytesOf(found))).toBeLessThanOrEqual(MAX_TAIL_BYTES);
  expect(runner.mostOpen).toBe(8);
  expect(runner.reads.every(({ tailBytes }) => tailBytes === 349)).toBe(true);
});

test("bytes that are no UTF-8 do not push the answer over its bound, and that something is missing is said", async () => {
  runner.letter = "\uFFFD";
  const found = await read(await jobWithReplicas(2), 100);
  // Three bytes each.
  const kept = { text: "\uFFFD".repeat(33), truncated: true };
  expect(found).toMatchObject([kept, kept]);
});

test("a job without attempts has no logs", async () => {
  expect(await read(await jobWithReplicas(0), 100)).toEqual([]);
});
