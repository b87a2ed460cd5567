import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Actor } from "../src/core/job.js";
import { command } from "../src/core/moves/commands.js";
import { Listener } from "../src/store/listen.js";
import { type JobFrame, type OpenWatch, type WatchFilter, WatchHub, type WatchItem, watchItems, type WatchOptions } from "../src/watch.js";
import { MASTER, taskOf } from "./core/fixtures.js";
import { jobNamed, openTestStore, type TestStore } from "./store/fixtures.js";

let store: TestStore;
let hub: WatchHub;
let listener: Listener;
const faults: unknown[] = [];

beforeEach(async () => {
  store = await openTestStore();
  hub = new WatchHub({ pool: store.pool, heartbeatMs: 60_000, onFault: (error) => faults.push(error) });
  listener = listenerFor(hub);
  await listener.start();
  faults.length = 0;
});
afterEach(async () => {
  await hub.stop();
  await listener.stop();
  await store.close();
});

function listenerFor(target: WatchHub): Listener {
  return new Listener({
    connectionString: store.url,
    pollMs: 60_000,
    onHint: () => target.poke(),
    onFault: (error) => faults.push(error),
  });
}

const submit = (jobId: string, initiator = "alice") =>
  store.jobs.submit({ definition: { ...jobNamed(jobId), initiator }, surface: "test" }, MASTER);

/** A watcher in the test's hands: items are taken one by one. */
class Watcher {
  readonly controller = new AbortController();
  readonly #items: AsyncGenerator<WatchItem, void, undefined>;

  constructor(actor: Actor = MASTER, from: WatchHub = hub, options: Partial<WatchOptions> = {}) {
    this.#items = watchItems(from, { actor, signal: this.controller.signal, ...options });
  }

  async next(): Promise<WatchItem | undefined> {
    const result = await this.#items.next();
    return result.done ? undefined : result.value;
  }

  /** Items up to and including the first that fits. */
  async until(fits: (item: WatchItem) => boolean): Promise<WatchItem[]> {
    const seen: WatchItem[] = [];
    for (;;) {
      const item = await this.next();
      if (!item) throw new Error(`the watch ended after ${JSON.stringify(seen.map(nameOf))}`);
      seen.push(item);
      if (fits(item)) return seen;
    }
  }
}

const isFrame = (item: WatchItem): item is JobFrame => item.kind !== "Heartbeat" && item.kind !== "Error";
const nameOf = (item: WatchItem): string => (isFrame(item) ? `${item.kind} ${item.view.job.jobId} ${item.view.job.state}` : item.kind);
const isHeartbeat = (item: WatchItem): boolean => item.kind === "Heartbeat";

test("without jobs the end of the snapshot comes at once", async () => {
  const watcher = new Watcher();
  expect(await watcher.next()).toEqual({ kind: "Heartbeat", revision: 0n });
  watcher.controller.abort();
  expect(await watcher.next()).toBeUndefined();
});

test("present jobs first, in the order they were made, then the changes in revision order", async () => {
  await submit("one");
  await submit("two");
  const watcher = new Watcher();
  expect((await watcher.until(isHeartbeat)).map(nameOf)).toEqual(["Added one Running", "Added two Running", "Heartbeat"]);
  await submit("three");
  await store.jobs.command("Cancel", "one", MASTER, "");
  await store.jobs.command("Delete", "two", MASTER, "");
  const seen = (await watcher.until((item) => item.kind === "Deleted")).filter(isFrame);
  expect(seen.map(nameOf)).toEqual(["Added three Running", "Modified one Cancelled", "Deleted two Running"]);
  const revisions = seen.map((frame) => frame.revision);
  expect(revisions).toEqual([...revisions].sort((a, b) => Number(a - b)));
  watcher.controller.abort();
});

test("snapshot and stream join without a gap or a repeat, whenever the watch begins", async () => {
  const ids = Array.from({ length: 60 }, (_, i) => `join-${i}`);
  const writing = (async () => {
    for (const id of ids) {
      await submit(id);
      await store.jobs.command("Cancel", id, MASTER, "");
    }
  })();
  const watchers: Promise<Map<string, JobFrame>>[] = [];
  for (let i = 0; i < 8; i++) {
    watchers.push(follow(new Watcher(), ids));
    await submit(`between-${i}`);
  }
  await writing;
  for (const last of await Promise.all(watchers)) {
    for (const id of ids) expect(last.get(id)?.view.job.state).toBe("Cancelled");
  }
});

/** Follows until every job was seen Cancelled; checks each job's frames on the way. */
async function follow(watcher: Watcher, ids: readonly string[]): Promise<Map<string, JobFrame>> {
  const last = new Map<string, JobFrame>();
  const done = () => ids.every((id) => last.get(id)?.view.job.state === "Cancelled");
  while (!done()) {
    const item = await watcher.next();
    if (!item) throw new Error("the watch ended");
    if (item.kind === "Error") throw new Error(item.message);
    if (!isFrame(item)) continue;
    const before = last.get(item.view.job.jobId);
    expect(item.kind).toBe(before ? "Modified" : "Added");
    if (before) expect(item.from).toBeGreaterThan(before.revision);
    last.set(item.view.job.jobId, item);
  }
  watcher.controller.abort();
  return last;
}

test("a domain sees the jobs that it takes part in, no others", async () => {
  await submit("ours");
  const foreign = { ...jobNamed("theirs"), initiator: "carol" };
  const tasks = foreign.tasks.map((task) => ({ ...task, parties: [{ domain: "carol", role: "", resources: null, bandwidthLimits: [] }] }));
  await store.jobs.submit({ definition: { ...foreign, tasks }, surface: "test" }, MASTER);
  const watcher = new Watcher({ role: "domain", domain: "bob" });
  expect((await watcher.until(isHeartbeat)).map(nameOf)).toEqual(["Added ours Running", "Heartbeat"]);
  await store.jobs.command("Cancel", "theirs", MASTER, "");
  await store.jobs.command("Cancel", "ours", MASTER, "");
  expect(nameOf((await watcher.next()) ?? { kind: "Error", message: "", revision: 0n })).toBe("Modified ours Cancelled");
  watcher.controller.abort();
});

describe("a watcher that does not read", () => {
  test("gets the latest state of each job when it reads again", async () => {
    await submit("slow");
    const watcher = new Watcher();
    await watcher.until(isHeartbeat);
    const other = new Watcher();
    await other.until(isHeartbeat);
    for (const verb of ["Suspend", "Restart", "Suspend", "Cancel"] as const) await store.jobs.command(verb, "slow", MASTER, "");
    await other.until((item) => isFrame(item) && item.view.job.state === "Cancelled");
    const frame = await watcher.next();
    expect(frame && nameOf(frame)).toBe("Modified slow Cancelled");
    expect(frame && isFrame(frame) && frame.from < frame.revision).toBe(true);
    watcher.controller.abort();
    other.controller.abort();
  });

  test("is ended with an Error when it is too far behind; others go on", async () => {
    await submit("first");
    const narrow = new WatchHub({ pool: store.pool, heartbeatMs: 60_000, queueSize: 5, onFault: (error) => faults.push(error) });
    const hints = listenerFor(narrow);
    await hints.start();
    const watcher = new Watcher(MASTER, narrow);
    await watcher.until(isHeartbeat);
    // Of the same hub, so what it has heard has been put before the other too.
    const other = new Watcher(MASTER, narrow);
    await other.until(isHeartbeat);
    for (let i = 0; i < 8; i++) {
      await submit(`flood-${i}`);
      await other.until((item) => isFrame(item) && item.view.job.jobId === `flood-${i}`);
    }
    const items = await watcher.until((item) => item.kind === "Error");
    expect(items.at(-1)).toMatchObject({ kind: "Error", message: expect.stringMatching(/more than 5 jobs behind/) });
    expect(await watcher.next()).toBeUndefined();
    // What it lost is had from where it was.
    const last = items.at(-1);
    const revision = last && "revision" in last ? last.revision : 0n;
    expect(revision).toBeGreaterThan(0n);
    const again = new Watcher(MASTER, hub, { start: { kind: "After", revision } });
    const missed = (await again.until(isHeartbeat)).filter(isFrame).map((frame) => frame.view.job.jobId);
    expect(missed).toEqual(Array.from({ length: 8 }, (_, i) => `flood-${i}`));
    await narrow.stop();
    await hints.stop();
    other.controller.abort();
  });
});

describe("a watcher that opens while more jobs change than it may lag behind with", () => {
  test.each(["Present", "After"] as const)("misses nothing, from %s on", async (kind) => {
    await Promise.all(Array.from({ length: 250 }, (_, i) => submit(`there-${i}`)));
    const narrow = new WatchHub({ pool: store.pool, heartbeatMs: 60_000, queueSize: 5, onFault: (error) => faults.push(error) });
    const hints = listenerFor(narrow);
    await hints.start();
    const eager = new Watcher(MASTER, narrow);
    await eager.until(isHeartbeat);
    const start = kind === "Present" ? ({ kind } as const) : ({ kind, revision: 1n } as const);
    const watcher = new Watcher(MASTER, narrow, { start });
    const first = await watcher.next();
    // One page of the opening is out; the hub tells these to both, to the other one by one.
    for (let i = 0; i < 8; i++) {
      await submit(`flood-${i}`);
      await eager.until((item) => isFrame(item) && item.view.job.jobId === `flood-${i}`);
    }
    const items = [first, ...(await watcher.until(isHeartbeat))].filter((item) => item !== undefined);
    expect(items.filter(isHeartbeat)).toHaveLength(1);
    const told = items.filter(isFrame).map((frame) => frame.view.job.jobId);
    expect(told.filter((jobId) => jobId.startsWith("flood"))).toEqual(Array.from({ length: 8 }, (_, i) => `flood-${i}`));
    await submit("after");
    expect(nameOf((await watcher.next()) ?? { kind: "Heartbeat", revision: 0n })).toMatch(/^Added after/);
    await narrow.stop();
    await hints.stop();
  });
});

/** The store's pool, with a look at each statement before it is sent and at its rows. */
function poolWith(looks: { before?: (text: string) => Promise<void> | void; after?: (rows: readonly unknown[]) => void }): typeof store.pool {
  const query = async (text: string, values: unknown[]): Promise<unknown> => {
    await looks.before?.(text);
    const result = await store.pool.query(text, values);
    looks.after?.(result.rows);
    return result;
  };
  return Object.assign(Object.create(store.pool) as typeof store.pool, { query });
}

describe("an opening whose client has left", () => {
  const isPage = (text: string): boolean => text.includes("candidates as (");
  const openOn = (pool: typeof store.pool): WatchHub => new WatchHub({ pool, heartbeatMs: 60_000, onFault: (error) => faults.push(error) });

  test("reads no further page", async () => {
    await submit("there");
    let pages = 0;
    const leaving = new AbortController();
    const before = (text: string): void => {
      if (isPage(text)) pages += 1;
      // Its first read is under way.
      else if (text.includes("from jobs order by uid desc")) leaving.abort();
    };
    const own = openOn(poolWith({ before }));
    const left = watchItems(own, { actor: MASTER, signal: leaving.signal });
    expect((await left.next()).done).toBe(true);
    const present = new Set(["there"]);
    const stays = new Watcher(MASTER, own, { filter: { jobIds: present, domain: null, states: null } });
    expect((await stays.until(isHeartbeat)).map(nameOf)).toEqual(["Added there Running", "Heartbeat"]);
    expect(pages).toBe(1);
    await own.stop();
  });

  test("reads nothing where others were before it", async () => {
    await submit("there");
    const filter: WatchFilter = { jobIds: new Set(["there"]), domain: null, states: null };
    let pages = 0;
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const before = (text: string): Promise<void> | undefined => {
      if (!isPage(text)) return undefined;
      pages += 1;
      return held;
    };
    const own = openOn(poolWith({ before }));
    const many = Array.from({ length: 50 }, () => new Watcher(MASTER, own, { filter }));
    const items = many.map((watcher) => watcher.next());
    // As many as are read at once: all the pool's connections but one.
    await expect.poll(() => pages).toBe(3);
    for (const watcher of many) watcher.controller.abort();
    expect(await Promise.all(items)).toEqual(many.map(() => undefined));
    const stays = new Watcher(MASTER, own, { filter });
    const opened = stays.until(isHeartbeat);
    letGo();
    expect((await opened).map(nameOf)).toEqual(["Added there Running", "Heartbeat"]);
    expect(pages).toBe(4);
    await own.stop();
  });
});

describe("jobs of many tasks", () => {
  const LARGE = 100;
  const JOBS = 60;
  const idOf = (i: number): string => `large-${String(i).padStart(2, "0")}`;
  const submitLarge = async (): Promise<void> => {
    const tasks = Array.from({ length: LARGE }, (_, i) => taskOf(`t-${i}`, { taskId: "" }));
    for (let i = 0; i < JOBS; i++) await store.jobs.submit({ definition: jobNamed(idOf(i), { tasks }), surface: "test" }, MASTER);
  };
  const all = Array.from({ length: JOBS }, (_, i) => idOf(i));
  /** Tasks in each answer of the database that a hub has got. */
  const sizes: number[] = [];
  const after = (rows: readonly unknown[]): void => {
    const [row] = rows as { answer?: { tasks?: unknown[] | null } }[];
    if (row?.answer?.tasks) sizes.push(row.answer.tasks.length);
  };
  const expectBounded = (): void => {
    expect(Math.max(...sizes)).toBeLessThanOrEqual(5_000);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(JOBS * LARGE);
  };
  let own: WatchHub;
  beforeEach(() => {
    sizes.length = 0;
    own = new WatchHub({ pool: poolWith({ after }), heartbeatMs: 60_000, onFault: (error) => faults.push(error) });
  });
  afterEach(() => own.stop());

  test.each<[string, Partial<WatchOptions>]>([
    ["the present ones", {}],
    ["named ones", { filter: { jobIds: new Set(all), domain: null, states: null } }],
    ["the history", { start: { kind: "After", revision: 1n } }],
  ])("are read in smaller pages: %s", async (_what, options) => {
    await submit("first");
    await submitLarge();
    if (!options.start && !options.filter) await store.jobs.command("Delete", "first", MASTER, "");
    const watcher = new Watcher(MASTER, own, options);
    const items = await watcher.until(isHeartbeat);
    const told = items.filter(isFrame).filter((frame) => frame.view.job.jobId !== "first");
    expect(told.map((frame) => frame.view.job.jobId)).toEqual(all);
    expect(told.every((frame) => frame.view.tasks.length === LARGE)).toBe(true);
    // The history tells of the first job too, which has two.
    if (options.start) sizes[0] = (sizes[0] ?? 0) - 2;
    expectBounded();
  });

  test("are read in smaller pages: what another process has committed", async () => {
    const watcher = new Watcher(MASTER, own);
    await watcher.until(isHeartbeat);
    await submitLarge();
    own.poke();
    const items = await watcher.until((item) => isFrame(item) && item.view.job.jobId === all.at(-1));
    expect(items.filter(isFrame).map((frame) => frame.view.job.jobId)).toEqual(all);
    expectBounded();
  });
});

test("a slow watcher of jobs with many tasks is ended before it holds too many of them; how jobs end up comes when it goes on", async () => {
  const narrow = new WatchHub({ pool: store.pool, heartbeatMs: 60_000, queueTasks: 8, onFault: (error) => faults.push(error) });
  store.onCommit = (commit) => narrow.take(commit);
  const tasks = Array.from({ length: 10 }, (_, i) => taskOf(`t-${i}`, { taskId: "" }));
  const watcher = new Watcher(MASTER, narrow);
  await watcher.until(isHeartbeat);
  // One job may always wait, and its changes are one frame, however many they are.
  await store.jobs.submit({ definition: jobNamed("huge", { tasks }), surface: "test" }, MASTER);
  for (const verb of ["Suspend", "Restart", "Cancel"] as const) await store.jobs.command(verb, "huge", MASTER, "");
  expect((await watcher.until(isFrame)).map(nameOf)).toEqual(["Added huge Cancelled"]);
  // Four of two tasks each may wait together, not a fifth.
  for (let i = 0; i < 4; i++) await submit(`small-${i}`);
  for (let i = 0; i < 4; i++) await store.jobs.command("Cancel", `small-${i}`, MASTER, "");
  expect((await watcher.until((item) => isFrame(item) && item.view.job.jobId === "small-3")).map(nameOf)).toEqual(
    [0, 1, 2, 3].map((i) => `Added small-${i} Cancelled`),
  );
  for (let i = 4; i < 9; i++) await submit(`small-${i}`);
  await store.jobs.command("Cancel", "small-4", MASTER, "");
  await store.jobs.command("Delete", "small-5", MASTER, "");
  const end = (await watcher.next()) ?? { kind: "Heartbeat", revision: 0n };
  expect(end).toMatchObject({ kind: "Error", message: expect.stringMatching(/^the watch is more than 8 tasks behind; watch again, with resume_revision/) });
  expect(await watcher.next()).toBeUndefined();
  const again = new Watcher(MASTER, narrow, { start: { kind: "After", revision: end.revision } });
  expect((await again.until(isHeartbeat)).map(nameOf).toSorted()).toEqual([
    "Added small-4 Cancelled",
    "Added small-6 Running",
    "Added small-7 Running",
    "Added small-8 Running",
    "Deleted small-5 Running",
    "Heartbeat",
  ]);
  await narrow.stop();
});

test("a client that leaves is forgotten at once", async () => {
  const watcher = new Watcher();
  await watcher.until(isHeartbeat);
  expect(hub.watchers).toBe(1);
  const end = watcher.next();
  watcher.controller.abort();
  expect(await end).toBeUndefined();
  expect(hub.watchers).toBe(0);
});

test("a heartbeat after each quiet period", async () => {
  const quick = new WatchHub({ pool: store.pool, heartbeatMs: 20, onFault: (error) => faults.push(error) });
  const watcher = new Watcher(MASTER, quick);
  for (let i = 0; i < 3; i++) expect((await watcher.next())?.kind).toBe("Heartbeat");
  await quick.stop();
  expect(await watcher.next()).toBeUndefined();
});

test("a heartbeat never tells a revision whose frame is still to come, whoever looks in between", async () => {
  const quick = new WatchHub({ pool: store.pool, heartbeatMs: 20, onFault: (error) => faults.push(error) });
  store.onCommit = (commit) => quick.take(commit);
  const { signal } = new AbortController();
  let woken = (): void => undefined;
  const wake = (): Promise<void> => new Promise((resolve) => (woken = resolve));
  const filter = { jobIds: new Set(["second"]), domain: null, states: null };
  const watch = quick.open({ actor: MASTER, signal, filter }, () => woken());
  const taken: WatchItem[] = [];
  const take = (): void => {
    for (let item = watch.next(); item; item = watch.next()) taken.push(item);
  };
  const other: OpenWatch = quick.open({ actor: MASTER, signal }, () => {
    // The first of two jobs has been published.
    for (let item = other.next(); item; item = other.next()) if (isFrame(item)) take();
  });
  other.next();
  while (taken.length === 0) {
    take();
    await wake();
    take();
  }
  // The next heartbeat is due, and not taken.
  await wake();
  // Both jobs are of one commit.
  await Promise.all([submit("first"), submit("second")]);
  take();
  const frame = taken.findIndex(isFrame);
  const { revision } = taken[frame] ?? { revision: 0n };
  expect(frame).toBeGreaterThan(0);
  expect(taken.slice(0, frame).every((item) => item.revision < revision)).toBe(true);
  await quick.stop();
});

test("the LISTEN connection is killed: the watch goes on and misses nothing", async () => {
  const watcher = new Watcher();
  await watcher.until(isHeartbeat);
  await submit("before");
  await watcher.until((item) => isFrame(item) && item.view.job.jobId === "before");
  await store.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'muster listen' and datname = current_database()");
  await submit("during");
  await store.jobs.command("Cancel", "during", MASTER, "");
  const items = await watcher.until((item) => isFrame(item) && item.view.job.state === "Cancelled");
  expect(items.filter(isFrame).at(-1)?.view.job.jobId).toBe("during");
  expect(faults.length).toBeGreaterThan(0);
  watcher.controller.abort();
});

test("history that was pruned behind the hub's back is said, not skipped", async () => {
  await listener.stop();
  const watcher = new Watcher();
  await watcher.until(isHeartbeat);
  await submit("lost");
  await store.query("delete from events");
  await store.query("update history set floor = 1000");
  hub.poke();
  expect(await watcher.next()).toMatchObject({ kind: "Error", message: expect.stringMatching(/not kept any more/) });
});

test("revisions rise over a snapshot of several pages, though early pages change while later ones are read", async () => {
  await Promise.all(Array.from({ length: 450 }, (_, i) => submit(`paged-${i}`)));
  const patient = new WatchHub({ pool: store.pool, heartbeatMs: 60_000, onFault: (error) => faults.push(error) });
  const hints = listenerFor(patient);
  await hints.start();
  const watcher = new Watcher(MASTER, patient);
  const first = await watcher.next();
  // The first page is out, the others are not read yet. Of jobs that are made at once any may be the first.
  const early = first && isFrame(first) ? first.view.job.jobId : "";
  await store.jobs.command("Cancel", early, MASTER, "");
  await submit("after");
  const rest = await watcher.until(isHeartbeat);
  const items = [first, ...rest].filter((item) => item !== undefined);
  expect(items.filter(isHeartbeat)).toHaveLength(1);
  const snapshot = items.filter((item) => isFrame(item) && item.inSnapshot);
  expect(items.slice(0, snapshot.length)).toEqual(snapshot);
  const revisions = items.slice(snapshot.length).map((item) => ("revision" in item ? item.revision : 0n));
  expect(revisions).toEqual(revisions.toSorted((a, b) => Number(a - b)));
  const added = items.filter((item) => item.kind === "Added").map((item) => isFrame(item) && item.view.job.jobId);
  expect(new Set(added).size).toBe(451);
  expect(items.filter((item) => item.kind === "Modified").map(nameOf)).toEqual([`Modified ${early} Cancelled`]);
  await patient.stop();
  await hints.stop();
});

describe("a watch that goes on", () => {
  test("after a revision hears what came since, once, and no snapshot", async () => {
    await submit("old");
    const earlier = new Watcher();
    const [, heartbeat] = await earlier.until(isHeartbeat);
    earlier.controller.abort();
    const revision = heartbeat && "revision" in heartbeat ? heartbeat.revision : 0n;
    await submit("new");
    await store.jobs.command("Cancel", "old", MASTER, "");
    const later = new Watcher(MASTER, hub, { start: { kind: "After", revision } });
    expect((await later.until(isHeartbeat)).map(nameOf)).toEqual(["Added new Running", "Modified old Cancelled", "Heartbeat"]);
    await store.jobs.command("Cancel", "new", MASTER, "");
    expect((await later.until(isFrame)).map(nameOf)).toEqual(["Modified new Cancelled"]);
    later.controller.abort();
  });

  test("after a revision that is not kept, or was never given out, is told so", async () => {
    await submit("job");
    await store.query("delete from events where revision <= 2");
    await store.query("update history set floor = 2");
    for (const [revision, message] of [
      [1n, /history up to revision 2 is not kept any more; watch without resume_revision/],
      [1_000n, /revision 1000 is not known here/],
      [2n ** 63n - 1n, /revision 9223372036854775807 is not known here/],
    ] as const) {
      const watcher = new Watcher(MASTER, hub, { start: { kind: "After", revision } });
      expect(await watcher.next()).toEqual({ kind: "Error", message: expect.stringMatching(message), revision: 0n });
      expect(await watcher.next()).toBeUndefined();
    }
    const onEdge = new Watcher(MASTER, hub, { start: { kind: "After", revision: 2n } });
    expect((await onEdge.until(isHeartbeat)).at(-1)?.kind).toBe("Heartbeat");
    onEdge.controller.abort();
  });

  test("with what comes begins with a heartbeat", async () => {
    await submit("there");
    const watcher = new Watcher(MASTER, hub, { start: { kind: "Now" } });
    expect((await watcher.next())?.kind).toBe("Heartbeat");
    await submit("coming");
    expect((await watcher.until(isFrame)).map(nameOf)).toEqual(["Added coming Running"]);
    watcher.controller.abort();
  });
});

/** All that the watches of one client, one after the other, have said of each job; what is heard again is left out by revision. */
function tilesOf(items: readonly WatchItem[], jobId: string): [bigint, bigint][] {
  return items.filter(isFrame).flatMap((frame) => (frame.view.job.jobId === jobId ? [[frame.from, frame.revision]] : []));
}

const reachedBy = (items: readonly WatchItem[]): bigint =>
  items.reduce((reached, item) => (isFrame(item) && item.inSnapshot ? reached : item.revision), 0n);

describe("a watch that breaks off between the frames of jobs that changed by turns", () => {
  const changes = async (): Promise<bigint[]> => {
    await store.jobs.command("Suspend", "one", MASTER, "");
    await store.jobs.command("Suspend", "other", MASTER, "");
    await store.jobs.command("Restart", "one", MASTER, "");
    const rows = await store.query<{ revision: string }>("select revision from events where job_id = 'one' order by revision");
    return rows.map(({ revision }) => BigInt(revision));
  };

  test.each(["in the queue", "in the opening"] as const)("misses none of their revisions when it goes on: merged %s", async (where) => {
    await submit("one");
    await submit("other");
    let watcher = new Watcher();
    const before = reachedBy(await watcher.until(isHeartbeat));
    if (where === "in the opening") watcher.controller.abort();
    const eager = new Watcher();
    await eager.until(isHeartbeat);
    const revisions = (await changes()).filter((revision) => revision > before);
    // The hub has told of all, so the one that does not read has it in its queue.
    await eager.until((item) => isFrame(item) && item.revision === revisions.at(-1));
    if (where === "in the opening") watcher = new Watcher(MASTER, hub, { start: { kind: "After", revision: before } });
    const first = await watcher.until((item) => isFrame(item) && item.view.job.jobId === "other");
    watcher.controller.abort();
    const reached = reachedBy([{ kind: "Heartbeat", revision: before }, ...first]);
    const later = new Watcher(MASTER, hub, { start: { kind: "After", revision: reached } });
    const items = [...first, ...(await later.until(isHeartbeat))];
    const tiles = tilesOf(items, "one");
    for (const revision of revisions) {
      expect(tiles.filter(([from, to]) => from <= revision && revision <= to), `frames with revision ${revision}`).toHaveLength(1);
    }
    expect(tilesOf(items, "other").length).toBeGreaterThan(0);
    later.controller.abort();
    eager.controller.abort();
  });
});

test("a client that breaks off again and again gets on, though all jobs change by turns", async () => {
  await submit("first");
  let reached = reachedBy(await new Watcher().until(isHeartbeat));
  const ids = Array.from({ length: 40 }, (_, i) => `turn-${i}`);
  for (const id of ids) await submit(id);
  for (const verb of ["Suspend", "Restart", "Cancel"] as const) for (const id of ids) await store.jobs.command(verb, id, MASTER, "");
  const ended = new Set<string>();
  // Each brings 20 frames at most.
  for (let watches = 0; ended.size < ids.length; watches++) {
    expect(watches).toBeLessThan(40);
    const watcher = new Watcher(MASTER, hub, { start: { kind: "After", revision: reached } });
    const items: WatchItem[] = [];
    while (items.length < 20 && !items.some(isHeartbeat)) items.push(...(await watcher.until(() => true)));
    watcher.controller.abort();
    reached = reachedBy([{ kind: "Heartbeat", revision: reached }, ...items]);
    for (const frame of items.filter(isFrame)) if (frame.view.job.state === "Cancelled" && frame.revision <= reached) ended.add(frame.view.job.jobId);
  }
});

describe("a filter", () => {
  const filter = (given: Partial<WatchFilter>): Partial<WatchOptions> => ({
    filter: { jobIds: null, domain: null, states: null, ...given },
  });

  test("by jobs shows these alone, also one that is made later", async () => {
    await submit("one");
    await submit("other");
    const watcher = new Watcher(MASTER, hub, filter({ jobIds: new Set(["one", "later"]) }));
    expect((await watcher.until(isHeartbeat)).map(nameOf)).toEqual(["Added one Running", "Heartbeat"]);
    await store.jobs.command("Cancel", "other", MASTER, "");
    await submit("later");
    await store.jobs.command("Delete", "one", MASTER, "");
    expect((await watcher.until((item) => item.kind === "Deleted")).map(nameOf)).toEqual(["Added later Running", "Deleted one Running"]);
    watcher.controller.abort();
  });

  test("by domain shows the jobs that it takes part in, and never more than the caller may see", async () => {
    await submit("ours");
    await submit("carols", "carol");
    const carols = filter({ domain: "carol" });
    const master = new Watcher(MASTER, hub, carols);
    expect((await master.until(isHeartbeat)).map(nameOf)).toEqual(["Added carols Running", "Heartbeat"]);
    const stranger = new Watcher({ role: "domain", domain: "dave" }, hub, carols);
    expect((await stranger.next())?.kind).toBe("Heartbeat");
    await store.jobs.command("Cancel", "ours", MASTER, "");
    await store.jobs.command("Cancel", "carols", MASTER, "");
    expect((await master.until(isFrame)).map(nameOf)).toEqual(["Modified carols Cancelled"]);
    const silence = stranger.next();
    await hub.stop();
    expect(await silence).toBeUndefined();
  });

  test("by states shows a job while it is in one of them, and its removal", async () => {
    await submit("runs");
    await submit("ends");
    await store.jobs.command("Cancel", "ends", MASTER, "");
    const watcher = new Watcher(MASTER, hub, filter({ states: new Set(["Cancelled"]) }));
    expect((await watcher.until(isHeartbeat)).map(nameOf)).toEqual(["Added ends Cancelled", "Heartbeat"]);
    await store.jobs.command("Suspend", "runs", MASTER, "");
    await store.jobs.command("Cancel", "runs", MASTER, "");
    await store.jobs.command("Delete", "runs", MASTER, "");
    const seen = await watcher.until((item) => item.kind === "Deleted");
    expect(seen.map(nameOf).at(-1)).toBe("Deleted runs Cancelled");
    expect(seen.filter(isFrame).every((frame) => frame.view.job.state === "Cancelled")).toBe(true);
    watcher.controller.abort();
  });
});

test("what the process commits itself is handed over without a read; what another commits is read in between", async () => {
  let reads = 0;
  const query = store.pool.query.bind(store.pool);
  const counting = Object.assign(Object.create(store.pool) as typeof store.pool, {
    query: (...args: Parameters<typeof query>) => {
      if (JSON.stringify(args[0]).includes("changed as (")) reads += 1;
      return query(...args);
    },
  });
  const own: WatchHub = new WatchHub({
    pool: counting,
    heartbeatMs: 60_000,
    onFault: (error) => faults.push(error),
  });
  store.onCommit = (commit) => own.take(commit);
  const watcher = new Watcher(MASTER, own);
  await watcher.until(isHeartbeat);
  reads = 0;
  await submit("handed");
  expect((await watcher.until(isFrame)).map(nameOf)).toEqual(["Added handed Running"]);
  await store.jobs.command("Cancel", "handed", MASTER, "");
  expect((await watcher.until(isFrame)).map(nameOf)).toEqual(["Modified handed Cancelled"]);
  expect(reads).toBe(0);
  const foreign = store.secondWriter();
  await foreign.change({ target: { jobId: "handed" }, touch: "whole", move: (draft, now) => command(draft, "Delete", { actor: MASTER, reason: "", now }) });
  await submit("after");
  const seen = (await watcher.until((item) => isFrame(item) && item.view.job.jobId === "after")).filter(isFrame);
  expect(seen.map(nameOf)).toEqual(["Deleted handed Cancelled", "Added after Running"]);
  expect(reads).toBeGreaterThan(0);
  await own.stop();
});
