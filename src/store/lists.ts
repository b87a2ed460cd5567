/**
 * Finds jobs. Nothing here reads more the longer the history is.
 *
 * A question whose filter is one list (and standings, and a range of what it is sorted by) is a walk over one index from the
 * page's first job on. Any other is first tried as a small set: where one part of the filter lets few jobs through, these
 * are read and sorted. Where none does, the best index is walked in the order that is asked for, a bounded number of rows
 * per page, and the page may be short and say where to go on.
 */

import { invalid } from "../core/error.js";
import type { Actor, JobView } from "../core/job.js";
import {
  checkPageSize,
  checkQuery,
  type EventPage,
  type EventQuery,
  EXACT_COUNT,
  type JobCount,
  type JobOrder,
  type JobPage,
  type JobQuery,
  MAX_PAGE_TASKS,
  type SortKey,
} from "../core/list.js";
import { countMatches } from "./lists/count.js";
import { type Parts, partsOf, Values } from "./lists/filter.js";
import { isNatural, orderedScan, type Position, type Scan, scanOf, type Source, sourcesOf } from "./lists/scan.js";
import { createTokens } from "./lists/token.js";
import { eventsOfJob } from "./events.js";
import { type Pool, read } from "./pool.js";
import { type JobRow, jobFromRow, type TaskRow, taskFromRow } from "./rows.js";

export interface Lists {
  readonly list: (query: JobQuery, actor: Actor) => Promise<JobPage>;
  /** The history of a job that the caller may see. */
  readonly events: (query: EventQuery, jobUid: string, actor: Actor) => Promise<EventPage>;
}

/** What bounds the work for one page. */
export interface ListBounds {
  /** A set of at most so many jobs is read whole and sorted. */
  readonly smallSet: number;
  /** Rows that a page with further conditions looks at, in two steps: mostly the first is enough. */
  readonly scanSteps: readonly [number, number];
  /** The same for a page with a number, which cannot go on later. */
  readonly numberedScan: number;
  /** Matches are counted up to here, and estimated beyond. */
  readonly exactCount: number;
  /** Tasks in one page. */
  readonly pageTasks: number;
}

const BOUNDS: ListBounds = {
  smallSet: 1_000,
  scanSteps: [250, 4_750],
  numberedScan: 20_000,
  exactCount: EXACT_COUNT,
  pageTasks: MAX_PAGE_TASKS,
};

/** What a job's row is sorted by, as the scans print it. */
const RANK_OF = {
  created: "''",
  updated: "j.updated_at::text",
  name: "j.job_id",
  duration: "j.duration_rank::text",
} as const satisfies Record<SortKey, string>;

/** The same, to sort by. With the uid it is unique. */
const SORT_COLUMN = {
  created: "j.uid",
  updated: "j.updated_at",
  name: "j.job_id",
  duration: "j.duration_rank",
} as const satisfies Record<SortKey, string>;

interface Found extends Position {
  readonly view: JobView;
}

interface Walked {
  readonly found: readonly Found[];
  /** Where to go on looking; null at the end. */
  readonly next: Position | null;
}

export function createLists(pool: Pool, bounds: ListBounds = BOUNDS): Lists {
  const tokens = createTokens(pool);
  return {
    async list(query, actor) {
      checkQuery(query);
      const { start, order, pageSize } = query;
      const question = ["jobs", Object.entries(query.filter).sort(([a], [b]) => (a < b ? -1 : 1)), order.key, order.descending];
      const token = "pageToken" in start ? start.pageToken : "";
      const [rank, uid] = token === "" ? [] : await tokens.open(token, question, actor);
      const parts = partsOf(query.filter, actor);
      const small = parts.standings.length === 0 ? undefined : await smallSet(pool, parts, order, bounds.smallSet);
      const count: Promise<JobCount | null> = query.count ? countMatches(pool, parts, small, bounds.exactCount) : Promise.resolve(null);
      // Told below, with the page.
      count.catch(() => undefined);
      const walk: Walk = {
        pool,
        bounds,
        order,
        from: rank === undefined || uid === undefined ? null : { rank, uid },
        skip: "offset" in start ? start.offset : 0,
        numbered: "offset" in start,
        size: pageSize,
        tasks: query.tasks ?? true,
      };
      const { found, next } = await walkPage(walk, parts, small);
      const nextPageToken = next ? await tokens.sign(question, actor, [next.rank, next.uid]) : "";
      return { jobs: found.map(({ view }) => view), nextPageToken, count: await count };
    },

    async events({ pageSize, pageToken, after = 0n }, jobUid, actor) {
      checkPageSize(pageSize);
      const question = ["events", jobUid, after.toString()];
      const [last] = pageToken === "" ? [] : await tokens.open(pageToken, question, actor);
      const events = await eventsOfJob(pool, jobUid, last === undefined ? after : BigInt(last), pageSize + 1);
      const page = events.slice(0, pageSize);
      const more = events.length > pageSize ? (page.at(-1)?.revision ?? after) : undefined;
      return { events: page, nextPageToken: more === undefined ? "" : await tokens.sign(question, actor, [more.toString()]) };
    },
  };
}

interface Walk {
  readonly pool: Pool;
  readonly bounds: ListBounds;
  readonly order: JobOrder;
  readonly from: Position | null;
  readonly skip: number;
  readonly numbered: boolean;
  readonly size: number;
  readonly tasks: boolean;
}

async function walkPage(walk: Walk, parts: Parts, small: Source | undefined): Promise<Walked> {
  if (walk.size === 0 || parts.standings.length === 0) return { found: [], next: null };
  if (small) return cut(walk, await readSmallSet(walk, scanOf(small, parts)), null);
  const scan = orderedScan(walk.order, parts, parts.lists[0] ?? null);
  if (scan.conditions.length === 0) {
    const { found, last } = await readScan(walk, scan, walk.from, walk.skip, walk.size + 1);
    return cut(walk, found, found.length > walk.size ? last : null);
  }
  const found: Found[] = [];
  let from = walk.from;
  const wanted = walk.skip + walk.size + 1;
  for (const step of walk.numbered ? [walk.bounds.numberedScan] : walk.bounds.scanSteps) {
    const { found: more, scanned, last } = await readScan(walk, scan, from, 0, step, wanted - found.length);
    found.push(...more);
    from = last;
    if (found.length >= wanted || scanned < step) {
      from = null;
      break;
    }
  }
  return cut(walk, found.slice(walk.skip), from);
}

/** The page out of what was found, which is one more than the page where there is more. */
function cut(walk: Walk, found: readonly Found[], unfinished: Position | null): Walked {
  let kept = 0;
  let tasks = 0;
  for (const { view } of found.slice(0, walk.size)) {
    tasks += walk.tasks ? view.job.counts.total : 0;
    if (tasks > walk.bounds.pageTasks && kept > 0) break;
    kept += 1;
  }
  if (walk.numbered && kept < Math.min(found.length, walk.size)) {
    throw invalid("page_size", `the jobs of this page have more than ${walk.bounds.pageTasks} tasks; ask for fewer jobs at once`);
  }
  const last = found[kept - 1];
  return { found: found.slice(0, kept), next: kept < found.length && last ? last : unfinished };
}

/** The source that lets few jobs through, where there is one and walking the order's own index would read more. */
async function smallSet(pool: Pool, parts: Parts, order: JobOrder, most: number): Promise<Source | undefined> {
  const sources = sourcesOf(parts);
  const natural = sources.every((source) => isNatural(source, order));
  const plain = orderedScan(order, parts, parts.lists[0] ?? null).conditions.length === 0;
  if (sources.length === 0 || (natural && plain)) return undefined;
  const values = new Values();
  const sizes = sources.map((source) => `(select count(*)::int from ${scanOf(source, parts).call(values, null, false, 0, most + 1)})`);
  const [row] = await read<{ sizes: number[] }>(pool, `select array[${sizes.join(", ")}] as sizes`, values.all);
  const smallest = Math.min(...(row?.sizes ?? []));
  return smallest <= most ? sources[row?.sizes.indexOf(smallest) ?? 0] : undefined;
}

interface Answer {
  readonly scanned: number;
  readonly last: { readonly rank: string; readonly uid: string } | null;
  readonly found: readonly { readonly rank: string; readonly job: JobRow; readonly tasks: TaskRow[] | null }[] | null;
}

/** One statement, so that a page is as of one moment. Every join is by key, row by row, whatever the planner expects. */
const PAGE = (found: string, tasks: boolean): string => `
select json_build_object(
  'scanned', (select count(*) from scanned),
  'last', (select json_build_object('rank', s.rank, 'uid', s.job_uid) from scanned s order by s.position desc limit 1),
  'found', (select json_agg(json_build_object('rank', f.rank, 'job', j.job, 'tasks', ${tasks ? TASKS : "null"}) order by f.position)
    from (${found}) f
    cross join lateral (select to_json(j) as job from jobs j where j.uid = f.job_uid limit 1) j)
) as answer`;

const TASKS = "(select json_agg(t order by t.idx) from tasks t where t.job_uid = f.job_uid)";

function conditionsOf(scan: Scan, values: Values): string {
  return ["true", ...scan.conditions.map((condition) => condition(values))].join(" and ");
}

async function readScan(
  walk: Walk,
  scan: Scan,
  from: Position | null,
  skip: number,
  step: number,
  wanted = step,
): Promise<{ found: readonly Found[]; scanned: number; last: Position | null }> {
  const values = new Values();
  const call = scan.call(values, from, walk.order.descending, skip, step);
  const meets =
    scan.conditions.length === 0
      ? ""
      : `cross join lateral (select from jobs j where j.uid = s.job_uid and ${conditionsOf(scan, values)} limit 1) m`;
  const text = `
    with scanned as materialized (
      select s.job_uid, s.rank, s.position from ${call} with ordinality as s(job_uid, rank, position)
    )
    ${PAGE(`select s.job_uid, s.rank, s.position from scanned s ${meets} order by s.position limit ${values.add(wanted)}`, walk.tasks)}`;
  return answerOf(await read<{ answer: Answer }>(walk.pool, text, values.all));
}

async function readSmallSet(walk: Walk, scan: Scan): Promise<readonly Found[]> {
  const { key, descending } = walk.order;
  const values = new Values();
  const call = scan.call(values, null, false, 0, walk.bounds.smallSet + 1);
  const meets = conditionsOf(scan, values);
  const [direction, after] = descending ? ["desc", "<"] : ["asc", ">"];
  const cursor = walk.from ? `where (c.key, c.job_uid) ${after} (${cursorOf(key, walk.from, values)})` : "";
  const text = `
    with scanned as materialized (
      select c.job_uid, c.rank, row_number() over (order by c.key ${direction}, c.job_uid ${direction}) as position
      from ${call} as s(job_uid, rank) cross join lateral (
        select j.uid as job_uid, ${SORT_COLUMN[key]} as key, ${RANK_OF[key]} as rank from jobs j
        where j.uid = s.job_uid and ${meets} limit 1
      ) c ${cursor}
    )
    ${PAGE(
      `select s.job_uid, s.rank, s.position from scanned s order by s.position offset ${values.add(walk.skip)} limit ${values.add(walk.size + 1)}`,
      walk.tasks,
    )}`;
  return answerOf(await read<{ answer: Answer }>(walk.pool, text, values.all)).found;
}

function cursorOf(key: SortKey, { rank, uid }: Position, values: Values): string {
  const typed = { created: "uuid", updated: "timestamptz", name: "text", duration: "bigint" } as const satisfies Record<SortKey, string>;
  return `${values.add(key === "created" ? uid : rank)}::${typed[key]}, ${values.add(uid)}::uuid`;
}

function answerOf(rows: readonly { readonly answer: Answer }[]): { found: Found[]; scanned: number; last: Position | null } {
  const { scanned, last, found } = rows[0]?.answer ?? { scanned: 0, last: null, found: null };
  const views = (found ?? []).map(({ rank, job, tasks }) => ({
    rank,
    uid: job.uid,
    view: { job: jobFromRow(job), tasks: (tasks ?? []).map(taskFromRow) },
  }));
  return { found: views, scanned, last };
}
