/** Lists of the store against lists in memory: any filter, any order, any page size, with bounds so small that every way of
 * finding jobs is taken. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { JOB_STATES, type JobView } from "../../src/core/job.js";
import { type JobFilter, type JobOrder, type JobQuery, SHOWN_STATUSES, shownStatus, SORT_KEYS, standingsOf } from "../../src/core/list.js";
import { attemptEnded, attemptStarted, claim } from "../../src/core/moves/tasks.js";
import { createLists, type Lists } from "../../src/store/lists.js";
import type { ListBounds } from "../../src/store/lists/page.js";
import { definitionOf, MASTER, party, succeeded, taskOf } from "../core/fixtures.js";
import { listInMemory } from "../list-model.js";
import { openTestStore, type TestStore } from "./fixtures.js";

const SMALL: ListBounds = { smallSet: 4, scanSteps: [5, 9], numberedScan: 1_000, exactCount: 6, pageTasks: 1_000 };
const DOMAINS = ["alice", "bob", "carol"];
const ALICE = { role: "domain", domain: "alice" } as const;
const CAROL = { role: "domain", domain: "carol" } as const;
const NEWEST: JobOrder = { key: "created", descending: true };

let store: TestStore;
let views: readonly JobView[];
let lists: Readonly<Record<"as served" | "with small bounds", Pick<Lists, "list">>>;

beforeAll(async () => {
  store = await openTestStore({ manualDomains: ["carol"] });
  await populate();
  views = await everything();
  lists = { "as served": store.jobs, "with small bounds": createLists(store.pool, SMALL) };
});
afterAll(() => store.close());

async function everything(): Promise<readonly JobView[]> {
  const names = await store.query<{ job_id: string }>("select job_id from jobs");
  return (await store.jobs.queryMany(names.map((row) => row.job_id), MASTER)).found;
}

async function submit(jobId: string, initiator: string, partner: string, customFields: Record<string, string>, surface: string): Promise<void> {
  const tasks = [taskOf("a", { taskId: "", parties: [party(initiator), party(partner)] }), taskOf("b", { taskId: "", parties: [party(initiator)] })];
  await store.jobs.submit({ definition: definitionOf(tasks, { jobId, initiator, customFields }), surface }, MASTER);
}

const FLOWS = ["f1", "f2", "F2", ""];
const SURFACES = ["kuscia", "muster"];

/** Jobs of every kind: of two domains each, in every state and shown status, some deleted. */
async function populate(): Promise<void> {
  for (let n = 0; n < 48; n += 1) {
    const initiator = DOMAINS[n % 3] ?? "alice";
    const partner = DOMAINS[(n + 1 + (n % 2)) % 3] ?? "bob";
    const flow = FLOWS[n % 7];
    const fields = { ...(flow === undefined ? {} : { flow_id: flow }), ...(n % 5 === 0 ? { schedule_id: "s", env: "prod" } : {}) };
    await submit(`${n % 4 === 0 ? "nightly" : "job"}.${n}`, initiator, partner, fields, SURFACES[n % 2] ?? "");
  }
  const jobs = await everything();
  for (const [n, { job }] of jobs.entries()) {
    const { jobId } = job;
    if (n % 11 === 3) await store.jobs.approve(jobId, { decision: "JobAccepted", reason: "" }, MASTER).catch(() => undefined);
    if (n % 11 === 4) await store.jobs.approve(jobId, { decision: "JobRejected", reason: "" }, MASTER).catch(() => undefined);
    if (n % 11 === 5) await store.jobs.command("Suspend", jobId, MASTER, "");
    if (n % 11 === 6) await store.jobs.command("Cancel", jobId, MASTER, "");
    if (n % 11 === 7) await store.jobs.command("Stop", jobId, MASTER, "");
    if (n % 11 === 8) await store.jobs.command("Delete", jobId, MASTER, "");
    if (n % 11 === 9) {
      await store.jobs.command("Suspend", jobId, MASTER, "");
      await store.jobs.command("Restart", jobId, MASTER, "");
    }
  }
  // Jobs with processes: running, being ended in each way, and one that finished.
  for (const ending of ["run", "Suspend", "Cancel", "Stop", "Delete", "finish"] as const) {
    const jobId = `live.${ending.toLowerCase()}`;
    await submit(jobId, "alice", "bob", { flow_id: "f1" }, "kuscia");
    await runTask(jobId, 0, ending === "finish");
    if (ending === "finish") await runTask(jobId, 1, true);
    else if (ending !== "run") await store.jobs.command(ending, jobId, MASTER, "");
  }
}

async function runTask(jobId: string, taskIndex: number, toItsEnd: boolean): Promise<void> {
  const { job, tasks } = await store.jobs.query(jobId, MASTER);
  const parties = tasks[taskIndex]?.parties ?? [];
  const instances = parties.map(({ domain, role }) => ({ attemptUid: crypto.randomUUID(), domain, role, replica: 0, endpoints: [] }));
  const target = { uid: job.uid };
  await store.writer.change({ target, touch: taskIndex, move: (d, now) => claim(d, { taskIndex, number: 1, runner: "r", instances, now }) });
  for (const { attemptUid } of instances) {
    await store.writer.change({ target, touch: taskIndex, move: (d, now) => attemptStarted(d, { attemptUid, now }) });
    if (toItsEnd) await store.writer.change({ target, touch: taskIndex, move: (d, now) => attemptEnded(d, succeeded(attemptUid, now)) });
  }
}

/** All pages from the first on, each at most of the size that was asked for. */
async function walk(from: Pick<Lists, "list">, query: Omit<JobQuery, "start" | "count">, actor: Parameters<Lists["list"]>[1]): Promise<JobView[]> {
  const jobs: JobView[] = [];
  let pageToken = "";
  do {
    const page = await from.list({ ...query, start: { pageToken }, count: false }, actor);
    expect(page.jobs.length).toBeLessThanOrEqual(query.pageSize);
    jobs.push(...page.jobs);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return jobs;
}

const names = (jobs: readonly JobView[]): string[] => jobs.map(({ job }) => job.jobId);
const sometimes = <T>(what: fc.Arbitrary<T>) => fc.option(what, { nil: undefined, freq: 4 });
const order: fc.Arbitrary<JobOrder> = fc.record({ key: fc.constantFrom(...SORT_KEYS), descending: fc.boolean() });
const actor = fc.constantFrom(MASTER, ALICE, CAROL, { role: "domain", domain: "nobody" } as const);

function filters(): fc.Arbitrary<JobFilter> {
  const times = views.flatMap(({ job }) => [job.createdAt, job.updatedAt]);
  const range = fc.record({ from: fc.constantFrom(...times), before: fc.constantFrom(...times) }, { requiredKeys: [] });
  const field = fc.record({
    key: fc.constantFrom("flow_id", "env", "none"),
    value: fc.constantFrom(...FLOWS, "prod"),
    ignoreCase: fc.boolean(),
  });
  const all = fc.record({
    initiator: sometimes(fc.constantFrom(...DOMAINS, "nobody")),
    party: sometimes(fc.constantFrom(...DOMAINS, "nobody")),
    states: sometimes(fc.subarray([...JOB_STATES])),
    shown: sometimes(fc.subarray([...SHOWN_STATUSES])),
    name: sometimes(fc.constantFrom("job.1", "live.run", "none")),
    namePrefix: sometimes(fc.constantFrom("job", "nightly.", "live.s", "z", "")),
    nameContains: sometimes(fc.constantFrom("1", "NIGHT", "%", "")),
    customFields: sometimes(fc.array(field, { maxLength: 2 })),
    flowId: sometimes(fc.constantFrom(...FLOWS)),
    scheduleId: sometimes(fc.constant("s")),
    created: sometimes(range),
    updated: sometimes(range),
    surface: sometimes(fc.constantFrom(...SURFACES)),
  });
  // Parts that are undefined are parts that are left out.
  return all.map((filter) => Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as JobFilter);
}

test("the jobs to be found are of every kind", () => {
  expect(new Set(views.map(({ job }) => job.state))).toEqual(new Set(JOB_STATES.filter((state) => state !== "Pending")));
  expect(new Set(views.map(({ job }) => shownStatus(job)))).toEqual(new Set(SHOWN_STATUSES));
  const standings = new Set(views.map(({ job }) => `${job.state}/${shownStatus(job)}`));
  expect(standingsOf({})).toEqual(expect.arrayContaining([...standings]));
});

test("a job's entries are what the job says", async () => {
  const rows = await store.query<{ entries: string[]; jobs: string[] }>(`
    select
      array(select (list, standing, updated_at, duration_rank, job_uid)::text from job_entries order by 1) as entries,
      array(select (list, state || '/' || shown, updated_at, duration_rank, uid)::text
        from jobs cross join unnest(lists) as l(list) order by 1) as jobs`);
  expect(rows[0]?.entries).toEqual(rows[0]?.jobs);
  expect(rows[0]?.jobs.length).toBeGreaterThan(views.length * 3);
});

describe.each(["as served", "with small bounds"] as const)("pages %s", (which) => {
  test("walked one after the other are exactly the matches, in order", async () => {
    const asked = fc.asyncProperty(filters(), order, actor, fc.integer({ min: 1, max: 20 }), async (filter, by, who, pageSize) => {
      const expected = names(listInMemory(views, filter, by, who));
      expect(names(await walk(lists[which], { filter, order: by, pageSize }, who))).toEqual(expected);
    });
    await fc.assert(asked, { numRuns: 250 });
  }, 120_000);

  test("with a number are the matches at that place, and go on from there", async () => {
    const asked = fc.asyncProperty(filters(), order, actor, fc.nat(60), fc.integer({ min: 1, max: 20 }), async (filter, by, who, offset, pageSize) => {
      const expected = names(listInMemory(views, filter, by, who));
      const page = await lists[which].list({ filter, order: by, pageSize, start: { offset }, count: false }, who);
      expect(names(page.jobs)).toEqual(expected.slice(offset, offset + pageSize));
      expect(page.nextPageToken === "").toBe(offset + pageSize >= expected.length);
      if (page.nextPageToken === "") return;
      const start = { pageToken: page.nextPageToken };
      const next = await lists["as served"].list({ filter, order: by, pageSize: 100, start, count: false }, who);
      expect(names(next.jobs)).toEqual(expected.slice(offset + pageSize));
    });
    await fc.assert(asked, { numRuns: 150 });
  }, 120_000);
});

test("a count is exact as far as jobs are counted, and says so where it is not", async () => {
  const asked = fc.asyncProperty(filters(), order, actor, async (filter, by, who) => {
    const expected = listInMemory(views, filter, by, who).length;
    const query = { filter, order: by, pageSize: 0, start: { pageToken: "" }, count: true };
    expect(await lists["as served"].list(query, who)).toEqual({ jobs: [], nextPageToken: "", count: { value: expected, exact: true } });
    const { count } = await lists["with small bounds"].list(query, who);
    if (count?.exact) expect(count.value).toBe(expected);
    // What was counted is not more than there is.
    else expect(expected).toBeGreaterThanOrEqual(Math.min(count?.value ?? 0, 1));
  });
  await fc.assert(asked, { numRuns: 100 });
}, 120_000);

test("an estimate comes from the database's statistics", async () => {
  await store.query("analyze job_entries");
  const all = { filter: {}, order: NEWEST, pageSize: 0, start: { pageToken: "" }, count: true };
  const { count } = await lists["with small bounds"].list(all, MASTER);
  expect(count?.exact).toBe(false);
  expect(count?.value).toBeGreaterThan(views.length / 2);
  expect(count?.value).toBeLessThan(views.length * 2);
});

test("jobs that are there when a walk begins are in it once, whatever is made meanwhile", async () => {
  for (const key of SORT_KEYS) {
    for (const descending of [true, false]) {
      const before = names(await everything());
      const seen: string[] = [];
      let pageToken = "";
      let made = 0;
      do {
        const query = { filter: {}, order: { key, descending }, pageSize: 9, start: { pageToken }, count: false };
        const page = await store.jobs.list(query, MASTER);
        seen.push(...names(page.jobs));
        pageToken = page.nextPageToken;
        // Not without end: in the order of creation every new job is one more to come.
        if (made < 20) await submit(`m${(made += 1)}.${key}.${descending}`, "alice", "bob", {}, "muster");
      } while (pageToken !== "");
      expect(new Set(seen).size).toBe(seen.length);
      expect(seen.filter((name) => before.includes(name)).toSorted()).toEqual(before.toSorted());
    }
  }
  for (const name of names(await everything()).filter((each) => each.startsWith("m"))) await store.jobs.command("Delete", name, MASTER, "");
});

test("a job that ends, is deleted or goes on is found where it is now, and nowhere else", async () => {
  await submit("moving", "alice", "bob", { flow_id: "moving" }, "kuscia");
  const found = async (filter: JobFilter): Promise<string[]> => {
    const query = { filter: { ...filter, flowId: "moving" }, order: NEWEST, pageSize: 10, start: { pageToken: "" }, count: false };
    return names((await store.jobs.list(query, MASTER)).jobs);
  };
  expect(await found({ shown: ["Waiting"] })).toEqual(["moving"]);
  await runTask("moving", 0, false);
  expect(await found({ shown: ["Waiting"] })).toEqual([]);
  expect(await found({ shown: ["Running"] })).toEqual(["moving"]);
  await store.jobs.command("Suspend", "moving", MASTER, "");
  expect(await found({ shown: ["Running"] })).toEqual([]);
  expect(await found({ shown: ["Stopped"], states: ["Running"] })).toEqual(["moving"]);
  await store.jobs.command("Delete", "moving", MASTER, "");
  expect(await found({ shown: ["Discarded"] })).toEqual(["moving"]);
  for (const attempt of await store.query<{ uid: string; job_uid: string }>(
    "select a.uid, a.job_uid from attempts a join jobs j on j.uid = a.job_uid where j.job_id = 'moving'",
  )) {
    await store.writer.change({
      target: { uid: attempt.job_uid },
      touch: 0,
      move: (draft, now) => attemptEnded(draft, succeeded(attempt.uid, now)),
    });
  }
  expect(await found({})).toEqual([]);
  expect(await store.query("select list from job_entries where job_uid not in (select uid from jobs)")).toEqual([]);
});

describe("a page token", () => {
  const ask = (pageToken: string, more: Partial<JobQuery> = {}, who: Parameters<Lists["list"]>[1] = MASTER) =>
    store.jobs.list({ filter: {}, order: NEWEST, pageSize: 5, start: { pageToken }, count: false, ...more }, who);
  const first = async (): Promise<string> => (await ask("")).nextPageToken;
  const foreign = { reason: "InvalidArgument", field: "page_token", message: expect.stringContaining("was given for another filter") as string };

  test("is good at every server, with another page size too", async () => {
    const other = createLists(store.pool);
    const query = { filter: {}, order: NEWEST, pageSize: 7, start: { pageToken: await first() }, count: false };
    expect(names((await other.list(query, MASTER)).jobs)).toEqual(names((await ask("", { pageSize: 12 })).jobs).slice(5));
  });

  test("is refused with another filter, order or caller", async () => {
    await expect(ask(await first(), { filter: { initiator: "alice" } })).rejects.toMatchObject(foreign);
    await expect(ask(await first(), { order: { key: "created", descending: false } })).rejects.toMatchObject(foreign);
    await expect(ask(await first(), { order: { key: "name", descending: true } })).rejects.toMatchObject(foreign);
    await expect(ask(await first(), {}, ALICE)).rejects.toMatchObject(foreign);
  });

  test("that nobody gave is refused", async () => {
    const token = await first();
    const flipped = `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`;
    const made = { reason: "InvalidArgument", field: "page_token", message: "page_token: is not a token that this server gave" };
    const forged = fc.asyncProperty(fc.oneof(fc.string(), fc.constantFrom("x", flipped, token.slice(4), "AAAA")), async (text) => {
      if (text !== "") await expect(ask(text)).rejects.toMatchObject(made);
    });
    await fc.assert(forged, { numRuns: 30 });
  });
});

test.each([
  [{ pageSize: -1 }, "page_size: must be 0 to 1000, got -1"],
  [{ pageSize: 1001 }, "page_size: must be 0 to 1000, got 1001"],
  [{ pageSize: 1.5 }, "page_size: must be 0 to 1000, got 1.5"],
  [{ start: { offset: -1 } }, "offset: must be 0 to 10000, got -1; narrow the filter instead"],
  [{ start: { offset: 10_001 } }, "offset: must be 0 to 10000, got 10001; narrow the filter instead"],
])("a list with %j is refused", async (more, message) => {
  const query: JobQuery = { filter: {}, order: NEWEST, pageSize: 1, start: { pageToken: "" }, count: false, ...more };
  await expect(store.jobs.list(query, MASTER)).rejects.toMatchObject({ reason: "InvalidArgument", message });
});

test("a page is short rather than of more tasks than one answer holds; one with a number says so", async () => {
  const few = createLists(store.pool, { ...SMALL, pageTasks: 5 });
  const query = { filter: { initiator: "alice" }, order: NEWEST, pageSize: 10, start: { pageToken: "" }, count: false };
  expect((await few.list(query, MASTER)).jobs).toHaveLength(2);
  expect(names(await walk(few, { ...query, pageSize: 10 }, MASTER))).toEqual(names(listInMemory(await everything(), query.filter, NEWEST, MASTER)));
  await expect(few.list({ ...query, start: { offset: 0 } }, MASTER)).rejects.toMatchObject({
    message: "page_size: the jobs of this page have more than 5 tasks; ask for fewer jobs at once",
  });
  const bare = await few.list({ ...query, tasks: false }, MASTER);
  expect(bare.jobs).toHaveLength(10);
  expect(bare.jobs.every(({ tasks }) => tasks.length === 0)).toBe(true);
});
