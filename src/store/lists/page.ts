/** The statements that read a page: jobs out of a scan, in its order or sorted, with their tasks. */

import type { JobView } from "../../core/job.js";
import type { JobOrder, SortKey } from "../../core/list.js";
import { type Pool, read } from "../pool.js";
import { type JobRow, jobFromRow, type TaskRow, taskFromRow } from "../rows.js";
import { Values } from "./filter.js";
import { BY_UID, type Position, type Scan } from "./scan.js";

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

/** The page that is asked for. */
export interface Walk {
  readonly pool: Pool;
  readonly bounds: ListBounds;
  readonly order: JobOrder;
  readonly from: Position | null;
  readonly skip: number;
  readonly numbered: boolean;
  readonly size: number;
  readonly tasks: boolean;
}

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

export interface Found extends Position {
  readonly view: JobView;
}

interface Answer {
  readonly scanned: number;
  readonly last: { readonly rank: string; readonly uid: string } | null;
  readonly found: readonly { readonly rank: string; readonly job: JobRow; readonly tasks: TaskRow[] | null }[] | null;
}

/**
 * One statement, so that a page is as of one moment. Every join is by key, row by row, whatever the planner expects. Tasks
 * are read as far as one page may have them; what comes after is cut off.
 */
function pageOf(walk: Walk, join: Scan["join"], found: string, values: Values): string {
  const tasks = (): string => `case when p.tasks_so_far <= ${values.add(walk.bounds.pageTasks)} or p.tasks_so_far = p.total
    then (select json_agg(t order by t.idx) from tasks t where t.job_uid = p.job_uid) end`;
  return `
    select json_build_object(
      'scanned', (select count(*) from scanned),
      'last', (select json_build_object('rank', s.rank, 'uid', s.job_uid) from scanned s order by s.position desc limit 1),
      'found', (select json_agg(json_build_object('rank', p.rank, 'job', p.job, 'tasks', ${walk.tasks ? tasks() : "null"}) order by p.position)
        from (
          select s.*, j.job, j.total, sum(j.total) over (order by s.position) as tasks_so_far from (${found}) s
          cross join lateral (
            select to_json(j) as job, (j.counts ->> 'total')::int as total from jobs j where ${join} limit 1
          ) j
        ) p)
    ) as answer`;
}

function conditionsOf(scan: Scan, values: Values): string {
  return ["true", ...scan.conditions.map((condition) => condition(values))].join(" and ");
}

/** Up to `wanted` jobs out of the scan's next rows, which are at most so many. What a page with a number skips is skipped. */
export async function readScan(
  walk: Walk,
  scan: Scan,
  from: Position | null,
  rows: number,
  wanted: number,
): Promise<{ found: readonly Found[]; scanned: number; last: Position | null }> {
  const values = new Values();
  const plain = scan.conditions.length === 0;
  const call = scan.call(values, from, walk.order.descending, plain ? walk.skip : 0, rows);
  const meets = plain
    ? ""
    : `cross join lateral (select from jobs j where ${scan.join} and ${conditionsOf(scan, values)} limit 1) m`;
  const range = `offset ${values.add(plain ? 0 : walk.skip)} limit ${values.add(wanted)}`;
  const text = `
    with scanned as materialized (
      select s.job_uid, s.rank, s.position from ${call} with ordinality as s(job_uid, rank, position)
    )
    ${pageOf(walk, scan.join, `select s.job_uid, s.rank, s.position from scanned s ${meets} order by s.position ${range}`, values)}`;
  return answerOf(await read<{ answer: Answer }>(walk.pool, text, values.all));
}

export async function readSmallSet(walk: Walk, scan: Scan): Promise<readonly Found[]> {
  const { key, descending } = walk.order;
  const values = new Values();
  // Twice as many, since more may have come since they were counted.
  const call = scan.call(values, null, false, 0, walk.bounds.smallSet * 2);
  const meets = conditionsOf(scan, values);
  const [direction, after] = descending ? ["desc", "<"] : ["asc", ">"];
  const range = `offset ${values.add(walk.skip)} limit ${values.add(walk.size + 1)}`;
  const cursor = walk.from ? `where (c.key, c.job_uid) ${after} (${cursorOf(key, walk.from, values)})` : "";
  const text = `
    with scanned as materialized (
      select c.job_uid, c.rank, row_number() over (order by c.key ${direction}, c.job_uid ${direction}) as position
      from ${call} as s(job_uid, rank) cross join lateral (
        select j.uid as job_uid, ${SORT_COLUMN[key]} as key, ${RANK_OF[key]} as rank from jobs j
        where ${scan.join} and ${meets} limit 1
      ) c ${cursor}
    )
    ${pageOf(walk, BY_UID, `select s.job_uid, s.rank, s.position from scanned s order by s.position ${range}`, values)}`;
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
