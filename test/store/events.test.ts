import { afterAll, beforeAll, expect, test } from "vitest";
import { changesAfter } from "../../src/store/changes.js";
import { eventsAfter, eventsOfJob, newestRevision, pruneEvents } from "../../src/store/events.js";
import { MASTER } from "../core/fixtures.js";
import { jobNamed, openTestStore, type TestStore } from "./fixtures.js";

let store: TestStore;
beforeAll(async () => {
  store = await openTestStore();
});
afterAll(() => store.close());

const HOUR = 3_600_000;
const olderThan = (maxAgeMs: number) => ({ maxAgeMs, maxEvents: 1_000_000 });

test("history older than its age is pruned as a prefix, and how far is remembered; newer events and jobs stay", async () => {
  for (const jobId of ["old", "removed", "new"]) await store.jobs.submit({ definition: jobNamed(jobId), surface: "test" }, MASTER);
  await store.jobs.command("Cancel", "old", MASTER, "enough");
  await store.jobs.command("Delete", "removed", MASTER, "");
  const [last] = await store.query<{ revision: string }>("select max(revision)::text as revision from events where job_id <> 'new'");
  await store.query("update events set time = now() - interval '2 hours' where revision <= $1", [last?.revision]);
  await store.query("update tombstones set deleted_at = now() - interval '2 hours'");
  const newest = await newestRevision(store.pool);

  expect(await pruneEvents(store.pool, olderThan(3 * HOUR), 1_000)).toBe(0);
  // A limit bounds what one round removes.
  expect(await pruneEvents(store.pool, olderThan(HOUR), 2)).toBe(2);
  while ((await pruneEvents(store.pool, olderThan(HOUR), 1_000)) > 0);

  const [history] = await store.query<{ floor: string }>("select floor from history");
  expect(history?.floor).toBe(last?.revision);
  expect((await eventsAfter(store.pool, 0n, 1_000)).every((event) => event.revision > BigInt(history?.floor ?? 0))).toBe(true);
  expect(await newestRevision(store.pool)).toBe(newest);
  expect(await store.query("select 1 from tombstones")).toEqual([]);
  expect((await store.jobs.query("old", MASTER)).job).toMatchObject({ state: "Cancelled", message: "cancelled by master: enough" });
});

test("the last state of a deleted job is kept as long as its history, whatever the clocks of the servers say", async () => {
  await store.jobs.submit({ definition: jobNamed("skewed"), surface: "test" }, MASTER);
  const before = await newestRevision(store.pool);
  await store.jobs.command("Delete", "skewed", MASTER, "");
  // Events have the time of the server that made them, tombstones that of the database.
  await store.query("update tombstones set deleted_at = now() - interval '2 hours'");
  expect(await pruneEvents(store.pool, olderThan(HOUR), 1_000)).toBe(0);
  const { jobs } = await changesAfter(store.pool, before, { revisions: 100n, jobs: 100, tasks: 100 });
  expect(jobs.map(({ view, deleted }) => [view.job.jobId, deleted])).toEqual([["skewed", true]]);
});

test("a window of changes ends before the job that would make it too large, but holds one at least", async () => {
  const before = await newestRevision(store.pool);
  // Two tasks each. The first one changes again after the others were made.
  for (const jobId of ["w-0", "w-1", "w-2"]) await store.jobs.submit({ definition: jobNamed(jobId), surface: "test" }, MASTER);
  await store.jobs.command("Delete", "w-1", MASTER, "");
  await store.jobs.command("Cancel", "w-0", MASTER, "");
  for (const [tasks, most, windows] of [
    [100, 100, [["w-2", "w-1", "w-0"]]],
    [4, 100, [["w-0", "w-1"], ["w-2", "w-1"], ["w-0"]]],
    [100, 2, [["w-0", "w-1"], ["w-2", "w-1"], ["w-0"]]],
    [1, 100, [["w-0"], ["w-1"], ["w-2"], ["w-1"], ["w-0"]]],
  ] as const) {
    const seen: string[][] = [];
    let next = before;
    for (let more = true; more; ) {
      const changes = await changesAfter(store.pool, next, { revisions: 100n, jobs: most, tasks });
      expect(changes.jobs.every(({ first, last }) => next < first && last <= changes.revision)).toBe(true);
      seen.push(changes.jobs.map(({ view }) => view.job.jobId));
      ({ more, revision: next } = changes);
    }
    expect(seen).toEqual(windows);
    expect(next).toBe(await newestRevision(store.pool));
  }
});

test("history beyond the number of events that are kept is pruned, however young it is", async () => {
  await store.jobs.submit({ definition: jobNamed("counted"), surface: "test" }, MASTER);
  const newest = await newestRevision(store.pool);
  while ((await pruneEvents(store.pool, { maxAgeMs: 100 * HOUR, maxEvents: 2 }, 1_000)) > 0);
  expect((await eventsAfter(store.pool, 0n, 1_000)).map(({ revision }) => revision)).toEqual([newest - 1n, newest]);
  const [history] = await store.query<{ floor: string }>("select floor from history");
  expect(BigInt(history?.floor ?? 0)).toBe(newest - 2n);
});

test("the history of a job holds its moves and commands with who, what and why", async () => {
  await store.jobs.submit({ definition: jobNamed("told"), surface: "test" }, MASTER);
  await store.jobs.command("Suspend", "told", { role: "domain", domain: "bob" }, "lunch");
  const { job } = await store.jobs.query("told", MASTER);
  const events = (await eventsOfJob(store.pool, job.uid, 0n, 100)).map(({ event }) => event);
  expect(events.map((event) => event.kind)).toEqual(["JobCreated", "JobMoved", "TaskMoved", "Commanded", "TaskMoved", "PartyMoved", "PartyMoved", "TaskMoved", "JobMoved"]);
  expect(events[3]).toMatchObject({ verb: "Suspend", actor: { role: "domain", domain: "bob" }, message: "lunch" });
  expect(events.at(-1)).toMatchObject({ from: "Running", to: "Suspended", reason: "Suspended", message: "suspended by bob: lunch" });
  const commands = await store.query("select verb, reason, result, actor from commands where job_uid = $1", [job.uid]);
  expect(commands).toEqual([{ verb: "Suspend", reason: "lunch", result: "Suspended", actor: { role: "domain", domain: "bob" } }]);
});

test("a domain commands what the rules give it", async () => {
  await store.jobs.submit({ definition: jobNamed("ruled"), surface: "test" }, MASTER);
  const bob = { role: "domain", domain: "bob" } as const;
  const carol = { role: "domain", domain: "carol" } as const;
  await expect(store.jobs.command("Delete", "ruled", bob, "")).rejects.toMatchObject({ reason: "Forbidden" });
  await expect(store.jobs.command("Stop", "ruled", carol, "")).rejects.toMatchObject({ reason: "Forbidden" });
  await expect(store.jobs.query("ruled", carol)).rejects.toMatchObject({ reason: "NotFound" });
  await expect(store.jobs.submit({ definition: jobNamed("as-alice"), surface: "test" }, bob)).rejects.toMatchObject({ reason: "Forbidden" });
  await store.jobs.command("Stop", "ruled", bob, "");
  expect((await store.jobs.query("ruled", bob)).job.state).toBe("Failed");
});
