import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { JobError } from "../../src/core/error.js";
import { command } from "../../src/core/moves/commands.js";
import { MASTER } from "../core/fixtures.js";
import { jobNamed, openTestStore, type TestStore } from "./fixtures.js";

let store: TestStore;

beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const submit = (definition: ReturnType<typeof jobNamed>) => store.jobs.submit({ definition, surface: "test" }, MASTER);
const suspend = { actor: MASTER, reason: "" };

test("a submitted job is read back as it was asked for, with its tasks and its first events", async () => {
  const definition = jobNamed("read-back", { customFields: { owner: "x" } });
  expect(await submit(definition)).toEqual({ jobId: "read-back", repeated: false });
  const view = await store.jobs.query("read-back", MASTER);
  expect(view.job).toMatchObject({ state: "Running", initiator: "alice", customFields: { owner: "x" }, version: 1 });
  expect(view.tasks.map((t) => [t.definition.alias, t.state, t.reason, t.live])).toEqual([
    ["a", "Pending", "WaitingRunner", true],
    ["b", "Pending", "WaitingDependency", false],
  ]);
  expect(view.tasks[0]?.definition.taskId).toMatch(/^read-back-[0-9a-f]{12}$/);
  const events = await store.query<{ kind: string }>("select kind from events where job_id = 'read-back' order by revision");
  expect(events.map((event) => event.kind)).toEqual(["JobCreated", "JobMoved", "TaskMoved"]);
});

describe("a repeated create", () => {
  test("with the same content answers success and changes nothing", async () => {
    await submit(jobNamed("again"));
    expect(await submit(jobNamed("again"))).toEqual({ jobId: "again", repeated: true });
    expect(await store.query("select uid from jobs where job_id = 'again'")).toHaveLength(1);
  });

  test("with other content is refused", async () => {
    await submit(jobNamed("other"));
    await expect(submit(jobNamed("other", { maxParallelism: 7 }))).rejects.toMatchObject({ reason: "AlreadyExists" });
  });

  test("many at once: one is made, all hear the same", async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => submit(jobNamed("crowd"))));
    expect(answers.filter((answer) => !answer.repeated)).toHaveLength(1);
  });

  test("an explicit task_id of another job is refused, and its neighbours in the batch are not", async () => {
    const named = (jobId: string) => {
      const definition = jobNamed(jobId);
      return { ...definition, tasks: definition.tasks.map((t, i) => (i === 0 ? { ...t, taskId: "taken-id" } : t)) };
    };
    const results = await Promise.allSettled([submit(named("owner")), submit(named("thief")), submit(jobNamed("neighbour"))]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(results[1]).toMatchObject({ reason: { reason: "InvalidArgument", field: "tasks[0].task_id" } });
  });
});

test("an unknown image is named, and nothing is stored", async () => {
  const definition = jobNamed("no-image");
  const tasks = definition.tasks.map((task) => ({ ...task, appImage: "nowhere" }));
  await expect(submit({ ...definition, tasks })).rejects.toMatchObject({
    reason: "InvalidArgument",
    message: 'tasks[0].app_image: app image "nowhere" not found',
  });
  expect(await store.query("select uid from jobs where job_id = 'no-image'")).toEqual([]);
});

test("a write that the database refuses fails alone", async () => {
  // The core lets U+0000 through; surfaces refuse it at the edge, so only a broken surface could send it.
  const poisoned = { ...jobNamed("poisoned"), tasks: jobNamed("x").tasks.map((t) => ({ ...t, inputConfig: "a\u0000b" })) };
  const results = await Promise.allSettled([submit(jobNamed("well-1")), submit(poisoned), submit(jobNamed("well-2"))]);
  expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(results[1]).toMatchObject({ reason: { reason: "Internal" } });
  expect(await store.query("select uid from jobs where job_id = any ('{well-1,well-2}')")).toHaveLength(2);
});

test("two processes that change one job at once both take effect, one after the other", async () => {
  await submit(jobNamed("contended"));
  const others = Array.from({ length: 4 }, () => store.secondWriter());
  const change = (n: number) =>
    others[n % others.length]!.change({
      target: { jobId: "contended" },
      touch: "whole",
      move: (draft, now) => {
        const verb = draft.job.state === "Suspended" ? "Restart" : "Suspend";
        return command(draft, verb, { ...suspend, now });
      },
    });
  const outcomes = await Promise.all(Array.from({ length: 40 }, (_, n) => change(n)));
  expect(outcomes.every((outcome) => outcome === "applied")).toBe(true);
  const [row] = await store.query<{ version: number; commands: number }>(
    "select version, (select count(*)::int from commands c where c.job_uid = j.uid) as commands from jobs j where job_id = 'contended'",
  );
  expect(row?.commands).toBe(40);
});

test("delete and create of one name in one go never mix their histories", async () => {
  await submit(jobNamed("phoenix"));
  const [before] = await store.query<{ uid: string }>("select uid from jobs where job_id = 'phoenix'");
  const [, created] = await Promise.all([
    store.jobs.command("Delete", "phoenix", MASTER, ""),
    submit(jobNamed("phoenix", { maxParallelism: 5 })),
  ]);
  expect(created.repeated).toBe(false);
  const [after] = await store.query<{ uid: string }>("select uid from jobs where job_id = 'phoenix'");
  expect(after?.uid).not.toBe(before?.uid);
  expect(await store.query("select 1 from tasks where job_uid = $1", [before?.uid])).toEqual([]);
  const kinds = await store.query<{ kind: string }>("select kind from events where job_uid = $1 order by revision", [before?.uid]);
  expect(kinds.at(-1)?.kind).toBe("JobDeleted");
});

test("revisions are in commit order across processes: no reader sees a later one first", async () => {
  const writers = [store.writer, store.secondWriter(), store.secondWriter()];
  await Promise.all(Array.from({ length: 6 }, (_, i) => submit(jobNamed(`order-${i}`))));
  const seen: bigint[] = [];
  const writing = new AbortController();
  const reader = (async () => {
    let last = 0n;
    while (!writing.signal.aborted) {
      const rows = await store.query<{ revision: string }>("select revision from events where revision > $1 order by revision", [
        last.toString(),
      ]);
      for (const row of rows) seen.push(BigInt(row.revision));
      last = seen.at(-1) ?? last;
    }
  })();
  const flips = Array.from({ length: 120 }, (_, n) =>
    writers[n % 3]!.change({
      target: { jobId: `order-${n % 6}` },
      touch: "whole",
      move: (draft, now) => command(draft, draft.job.state === "Suspended" ? "Restart" : "Suspend", { ...suspend, now }),
    }),
  );
  await Promise.all(flips);
  writing.abort();
  await reader;
  const all = await store.query<{ revision: string }>("select revision from events order by revision");
  // Reading on from the last seen revision must have met every event: none became visible behind it.
  const tail = await store.query<{ revision: string }>("select revision from events where revision > $1", [String(seen.at(-1) ?? 0)]);
  expect(seen.length + tail.length).toBe(all.length);
});

test("a job that is gone and one that never was are both NotFound", async () => {
  await expect(store.jobs.command("Stop", "never-was", MASTER, "")).rejects.toBeInstanceOf(JobError);
  await expect(store.jobs.query("never-was", MASTER)).rejects.toMatchObject({ reason: "NotFound" });
  const { found, missing } = await store.jobs.queryMany(["again", "never-was", "other"], MASTER);
  expect(found.map((view) => view.job.jobId)).toEqual(["again", "other"]);
  expect(missing).toEqual(["never-was"]);
});
