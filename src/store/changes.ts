/** What the hub reads: the jobs that changed in a window of revisions, as they are now, in one statement. */

import type { JobView } from "../core/job.js";
import { NEWEST_REVISION } from "./events.js";
import { type Pool, read } from "./pool.js";
import type { OpenTask } from "./work.js";
import { groupBy, type JobRow, jobFromRow, type TaskRow, taskFromRow } from "./rows.js";

export interface JobChange {
  readonly uid: string;
  /** First and last revision of the job in the window. */
  readonly first: bigint;
  readonly last: bigint;
  readonly created: boolean;
  readonly deleted: boolean;
  /** The job now; its last state where it is gone. May be newer than `last` where the window is behind. */
  readonly view: JobView;
}

/** What one batch of this process has committed. */
export interface Commit {
  /** Its revisions: all from the first to the last are its own. */
  readonly first: bigint;
  readonly last: bigint;
  /** In the order of `last`; null where a job is not known as a whole here. */
  readonly changes: readonly JobChange[] | null;
  /** Tasks that a runner may claim from now on. */
  readonly opened: readonly OpenTask[];
  /** There are attempts that have to end. */
  readonly stops: boolean;
}

export interface Changes {
  /** In the order of `last`. */
  readonly jobs: readonly JobChange[];
  /** The window's end: the newest visible revision or the bound, whichever is lower. */
  readonly revision: bigint;
  /** The newest visible revision. */
  readonly newest: bigint;
  /** More is visible after the window. */
  readonly more: boolean;
  /** Everything up to here has been pruned. */
  readonly floor: bigint;
}

interface Answer {
  readonly floor: string;
  readonly newest: string;
  readonly end: string;
  readonly changed:
    | { uid: string; first: string; last: string; created: boolean; deleted: boolean; job: JobRow | null; gone: Gone | null }[]
    | null;
  readonly tasks: TaskRow[] | null;
}

interface Gone {
  readonly job: JobRow;
  readonly tasks: TaskRow[];
}

const CHANGES = `
with seen as (
  select revision, job_uid as uid, kind from events where revision > $1 and revision <= $2
), touched as (
  select uid, min(revision) as first from seen group by uid
), weighed as (
  select first, row_number() over (order by first) as place, sum(coalesce(
    (select (j.counts ->> 'total')::int from jobs j where j.uid = t.uid),
    (select (d.job -> 'counts' ->> 'total')::int from tombstones d where d.job_uid = t.uid), 0)) over (order by first) as tasks
  from touched t
), bound as (
  -- Before the first job that is too much, unless it is alone.
  select coalesce((select min(first) - 1 from weighed where (tasks > $3 or place > $4) and place > 1), $2) as revision
), changed as (
  select uid, min(s.revision) as first, max(s.revision) as last,
    bool_or(kind = 'JobCreated') as created, bool_or(kind = 'JobDeleted') as deleted
  from seen s join bound on s.revision <= bound.revision group by uid
)
select json_build_object(
  'floor', (select floor from history)::text,
  'newest', ${NEWEST_REVISION},
  'end', (select revision from bound)::text,
  'changed', (select json_agg(json_build_object(
      'uid', c.uid, 'first', c.first::text, 'last', c.last::text, 'created', c.created, 'deleted', c.deleted,
      'job', (select to_json(j) from jobs j where j.uid = c.uid),
      'gone', (select json_build_object('job', d.job, 'tasks', d.tasks) from tombstones d where d.job_uid = c.uid)
    ) order by c.last) from changed c),
  'tasks', (select json_agg(t order by t.job_uid, t.idx) from changed c join tasks t on t.job_uid = c.uid)
) as answer`;

/** What a bigint of Postgres can hold. */
const LAST_REVISION = 2n ** 63n - 1n;

/** Where a window ends; it holds one job at least. */
export interface ChangeBounds {
  readonly revisions: bigint;
  readonly jobs: number;
  /** Of all its jobs together, so that the answer fits in memory whatever their size. */
  readonly tasks: number;
}

/** `revision` may be any that a client can name. */
export async function changesAfter(pool: Pool, revision: bigint, bounds: ChangeBounds): Promise<Changes> {
  const widest = revision > LAST_REVISION - bounds.revisions ? LAST_REVISION : revision + bounds.revisions;
  const rows = await read<{ answer: Answer }>(pool, CHANGES, [revision.toString(), widest.toString(), bounds.tasks, bounds.jobs]);
  const answer = rows[0]?.answer;
  const end = BigInt(answer?.end ?? widest);
  const tasksOf = groupBy(answer?.tasks ?? [], (row) => row.job_uid);
  const newest = BigInt(answer?.newest ?? 0);
  const jobs: JobChange[] = [];
  for (const row of answer?.changed ?? []) {
    const job = row.job ?? row.gone?.job;
    if (!job) continue;
    const tasks = row.job ? (tasksOf.get(row.uid) ?? []) : (row.gone?.tasks ?? []);
    jobs.push({
      uid: row.uid,
      first: BigInt(row.first),
      last: BigInt(row.last),
      created: row.created,
      deleted: row.deleted,
      view: { job: jobFromRow(job), tasks: tasks.map(taskFromRow) },
    });
  }
  const more = newest > end;
  return { jobs, revision: more ? end : newest > revision ? newest : revision, newest, more, floor: BigInt(answer?.floor ?? 0) };
}
