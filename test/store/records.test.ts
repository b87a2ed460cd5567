import { afterAll, beforeAll, expect, test } from "vitest";
import type { Pool } from "../../src/store/pool.js";
import { Records } from "../../src/store/records.js";
import { MASTER, taskOf } from "../core/fixtures.js";
import { jobNamed, openTestStore, type TestStore } from "./fixtures.js";

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
  for (const jobId of ["one", "two"]) {
    const tasks = [0, 1].map((i) => taskOf(`t${i}`, { taskId: "", inputConfig: `${jobId} ${i}` }));
    await store.jobs.submit({ definition: jobNamed(jobId, { tasks }), surface: "test" }, MASTER);
    await store.jobs.command("Cancel", jobId, MASTER, `no ${jobId}`);
  }
});
afterAll(() => store.close());

/** The pool, with the statements that went through it; the first `failures` of them fail. */
function listen(failures = 0): { pool: Pool; statements: unknown[][] } {
  const statements: unknown[][] = [];
  const pool = Object.assign(Object.create(store.pool) as Pool, {
    query: (text: string, values: unknown[]) => {
      statements.push(values);
      if (statements.length <= failures) return Promise.reject(new Error("too large"));
      return store.pool.query(text, values);
    },
  });
  return { pool, statements };
}

test("questions of one moment are one statement, each with its own answer", async () => {
  const { pool, statements } = listen();
  const records = new Records(pool);
  const [one, none, two, again] = await Promise.all(["one", "none", "two", "one"].map((jobId) => records.byJobId(jobId)));
  expect(statements).toEqual([[["one", "none", "two"]]]);
  expect(none).toBeUndefined();
  expect(again).toEqual(one);
  for (const [record, jobId] of [[one, "one"], [two, "two"]] as const) {
    expect(record?.job).toMatchObject({ jobId, state: "Cancelled" });
    expect(record?.inputs).toEqual([`${jobId} 0`, `${jobId} 1`]);
    expect(record?.commands).toMatchObject([{ verb: "Cancel", reason: `no ${jobId}` }]);
  }
});

test("many questions are answered by few statements, and none is lost", async () => {
  const { pool, statements } = listen();
  const records = new Records(pool);
  const names = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? "one" : i % 3 === 1 ? "two" : `none-${i}`));
  const answers = await Promise.all(names.map((jobId) => records.byJobId(jobId)));
  expect(answers.map((record) => record?.job.jobId ?? "none")).toEqual(names.map((name) => name.replace(/-.*/, "")));
  expect(statements.length).toBeLessThan(20);
});

test("where a statement fails each question is asked by itself", async () => {
  const { pool, statements } = listen(1);
  const records = new Records(pool);
  const answers = await Promise.all(["one", "two"].map((jobId) => records.byJobId(jobId)));
  expect(answers.map((record) => record?.job.jobId)).toEqual(["one", "two"]);
  expect(statements).toEqual([[["one", "two"]], [["one"]], [["two"]]]);
  const failing = new Records(listen(9).pool);
  await expect(failing.byJobId("one")).rejects.toThrow();
});
