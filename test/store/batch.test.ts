import { v7 as uuid } from "uuid";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { JobError } from "../../src/core/error.js";
import { command } from "../../src/core/moves/commands.js";
import { DEFAULT_LIMITS } from "../../src/core/dag.js";
import { createJobs } from "../../src/jobs.js";
import { createImages } from "../../src/images.js";
import { attemptEnded, claim } from "../../src/core/moves/tasks.js";
import { Writer } from "../../src/store/batch.js";
import { pruneImageContents } from "../../src/store/images.js";
import { MASTER, party, taskOf } from "../core/fixtures.js";
import { IMAGE, jobNamed, openTestStore, type TestStore } from "./fixtures.js";

let store: TestStore;

beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const submit = (definition: ReturnType<typeof jobNamed>) => store.jobs.submit({ definition, surface: "test" }, MASTER);
const openJobs = { limits: DEFAULT_LIMITS, domains: null, manualDomains: new Set<string>() };
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

test("a write that was saved is answered as such, though who is told of the commit fails", async () => {
  await submit(jobNamed("unheard"));
  const faults: unknown[] = [];
  const fault = new Error("cannot hear");
  const deaf = new Writer({
    pool: store.pool,
    now: Date.now,
    onCommit: () => {
      throw fault;
    },
    onFault: (error) => faults.push(error),
  });
  await deaf.change({ target: { jobId: "unheard" }, touch: "whole", move: (draft, now) => command(draft, "Delete", { ...suspend, now }) });
  expect(await store.query("select 1 from jobs where job_id = 'unheard'")).toEqual([]);
  expect(faults).toEqual([fault]);
  await deaf.close();
});

test("writes of one job that cannot be saved now, however many, do not hold up those of others", async () => {
  for (const jobId of ["stuck", "free"]) await submit(jobNamed(jobId));
  const writer = store.secondWriter();
  const write = (jobId: string) => writer.change({ target: { jobId }, touch: "whole", move: (draft, now) => command(draft, "Suspend", { ...suspend, now }) });
  const holder = await store.pool.connect();
  await holder.query("begin");
  await holder.query("select 1 from jobs where job_id = 'stuck' for update");
  const stuck = [write("stuck")];
  const waits = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
  while ((await store.query(waits)).length === 0);
  for (let i = 0; i < 40; i++) stuck.push(write("stuck"));
  // In a turn of its own: the writer has looked at what came before, and found nothing to do.
  await new Promise((resolve) => setImmediate(resolve));
  await write("free");
  await holder.query("rollback");
  holder.release();
  await Promise.all(stuck);
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

describe("a request that has an id of its own", () => {
  const ask = (requestId: string, jobId: string, more = {}) =>
    store.jobs.submit({ definition: jobNamed(jobId, more), surface: "test", requestId }, MASTER);

  test("is answered as the first time, also after the job is gone", async () => {
    expect(await ask("r-1", "asked-1")).toEqual({ jobId: "asked-1", repeated: false });
    await store.jobs.command("Delete", "asked-1", MASTER, "");
    expect(await ask("r-1", "asked-1")).toEqual({ jobId: "asked-1", repeated: true });
    await expect(store.jobs.query("asked-1", MASTER)).rejects.toMatchObject({ reason: "NotFound" });
  });

  test("is refused with other content, and nothing is made", async () => {
    await ask("r-2", "asked-2");
    await expect(ask("r-2", "asked-3")).rejects.toMatchObject({ reason: "AlreadyExists", metadata: { request_id: "r-2" } });
    await expect(ask("r-2", "asked-2", { maxParallelism: 9 })).rejects.toMatchObject({ reason: "AlreadyExists" });
    expect(await store.query("select 1 from jobs where job_id = 'asked-3'")).toEqual([]);
  });

  test("many at once, over two processes: one job, one answer", async () => {
    const other = createJobs({ ...openJobs, writer: store.secondWriter(), pool: store.pool });
    const definition = jobNamed("asked-4");
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? store.jobs : other).submit({ definition, surface: "test", requestId: "r-4" }, MASTER),
      ),
    );
    expect(answers.filter((answer) => !answer.repeated)).toHaveLength(1);
  });

  test("another caller's equal id is another request", async () => {
    await ask("r-5", "asked-5");
    const definition = jobNamed("asked-6");
    const alice = { role: "domain", domain: "alice" } as const;
    expect(await store.jobs.submit({ definition, surface: "test", requestId: "r-5" }, alice)).toMatchObject({ repeated: false });
  });
});

test("while a job is being deleted its name is taken: a create must not be answered with a job that vanishes", async () => {
  await submit(jobNamed("leaving"));
  await store.writer.change({
    target: { jobId: "leaving" },
    touch: 0,
    move: (draft, now) => claim(draft, { taskIndex: 0, number: 1, runner: "r", instances: [instance(uuid(), "alice"), instance(uuid(), "bob")], now }),
  });
  await store.jobs.command("Delete", "leaving", MASTER, "");
  expect((await store.jobs.query("leaving", MASTER)).job).toMatchObject({ state: "Running", reason: "Stopping" });
  await expect(submit(jobNamed("leaving"))).rejects.toMatchObject({
    reason: "AlreadyExists",
    message: 'job "leaving" already exists and is being deleted',
  });
});

const instance = (attemptUid: string, domain: string) => ({ attemptUid, domain, role: "", replica: 0, endpoints: [] });

test("a claim whose answer was lost answers the same claim again as the first time", async () => {
  await submit(jobNamed("claimed-twice"));
  const instances = [instance(uuid(), "alice"), instance(uuid(), "bob")];
  const again = () =>
    store.writer.change({
      target: { jobId: "claimed-twice" },
      touch: 0,
      move: (draft, now) => {
        claim(draft, { taskIndex: 0, number: 1, runner: "r", instances, now });
        return draft.attemptsOf(draft.task(0)).map((attempt) => attempt.uid);
      },
    });
  expect(await again()).toEqual(instances.map((each) => each.attemptUid));
  expect((await again()).sort()).toEqual(instances.map((each) => each.attemptUid).sort());
  const other = [instance(uuid(), "alice"), instance(uuid(), "bob")];
  const taken = store.writer.change({
    target: { jobId: "claimed-twice" },
    touch: 0,
    move: (draft, now) => claim(draft, { taskIndex: 0, number: 1, runner: "other", instances: other, now }),
  });
  await expect(taken).rejects.toMatchObject({ reason: "IllegalMove" });
});

test("a refusal that rests on a neighbour of the batch is told only once that neighbour is there", async () => {
  const named = (jobId: string, inputConfig = "") => {
    const definition = jobNamed(jobId);
    return { ...definition, tasks: definition.tasks.map((t, i) => (i === 0 ? { ...t, taskId: "rested-on", inputConfig } : t)) };
  };
  const results = await Promise.allSettled([submit(named("poisoned-owner", "a\u0000b")), submit(named("second"))]);
  expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled"]);
  expect((await store.jobs.query("second", MASTER)).job.state).toBe("Running");
});

test("a move that breaks off half-way leaves nothing behind, and its neighbours take effect", async () => {
  await submit(jobNamed("half-way"));
  const results = await Promise.allSettled([
    store.writer.change({
      target: { jobId: "half-way" },
      touch: "whole",
      move: (draft) => {
        draft.setJob({ message: "half" });
        throw new TypeError("a fault of ours");
      },
    }),
    store.jobs.command("Suspend", "half-way", MASTER, ""),
  ]);
  expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled"]);
  expect((await store.jobs.query("half-way", MASTER)).job).toMatchObject({ state: "Suspended", message: "suspended by master" });
});

test("reports about single tasks of large jobs, many at once, bring every job to its end", async () => {
  const tasks = Array.from({ length: 60 }, (_, i) =>
    taskOf(`t${i}`, { taskId: "", parties: [party("alice")], dependencies: i < 3 ? [] : [`t${i - 1 - (i % 3)}`], priority: i % 5 }),
  );
  await submit({ ...jobNamed("large"), maxParallelism: 8, tasks });
  const claimAndEnd = async (index: number, number: number) => {
    const attemptUid = uuid();
    const target = { target: { jobId: "large" }, touch: index } as const;
    const instances = [instance(attemptUid, "alice")];
    await store.writer.change({ ...target, move: (draft, now) => claim(draft, { taskIndex: index, number, runner: "r", instances, now }) });
    const [{ uid } = { uid: "" }] = await store.query<{ uid: string }>("select uid from jobs where job_id = 'large'");
    const end = { attemptUid, outcome: "Succeeded", reason: "None", exitCode: 0, signal: null, message: "" } as const;
    await store.writer.change({ target: { uid }, touch: index, move: (draft, now) => attemptEnded(draft, { ...end, now }) });
  };
  for (let round = 0; round < 200; round++) {
    const view = await store.jobs.query("large", MASTER);
    if (view.job.state !== "Running") break;
    const live = view.tasks.filter((task) => task.live);
    expect(live.length).toBeGreaterThan(0);
    expect(live.length).toBeLessThanOrEqual(8);
    await Promise.all(live.map((task) => claimAndEnd(task.index, task.attempt)));
  }
  const { job } = await store.jobs.query("large", MASTER);
  expect(job).toMatchObject({ state: "Succeeded", counts: { succeeded: 60, live: 0, ready: 0 } });
});

test("an image's content stays for an hour after it was let go, for jobs that are just being made", async () => {
  const images = createImages({ pool: store.pool, commands: "any" });
  await images.put({ ...IMAGE, name: "passing" });
  await images.put({ ...IMAGE, name: "passing", image: { ...IMAGE.image, tag: "2" } });
  expect(await pruneImageContents(store.pool)).toBe(0);
  await store.query("update app_image_contents set touched_at = now() - interval '61 minutes'");
  expect(await pruneImageContents(store.pool)).toBe(1);
});
