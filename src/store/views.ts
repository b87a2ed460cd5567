/** Reads jobs as callers see them: a job with its tasks, all as of one moment. */

import type { JobView } from "../core/job.js";
import { type Pool, read } from "./pool.js";
import { groupBy, type JobRow, jobFromRow, type TaskRow, taskFromRow } from "./rows.js";

interface Answer {
  readonly revision: string;
  readonly jobs: JobRow[] | null;
  readonly tasks: TaskRow[] | null;
}

export interface ViewsAt {
  /** The last revision that the views contain. */
  readonly revision: bigint;
  readonly views: readonly JobView[];
}

const VIEW_OF = (heads: string): string => `
with heads as (${heads})
select json_build_object(
  'revision', (select coalesce(max(revision), 0) from events)::text,
  'jobs', (select json_agg(h order by h.uid) from heads h),
  'tasks', (select json_agg(t order by t.job_uid, t.idx) from tasks t join heads h on h.uid = t.job_uid)
) as answer`;

async function readViews(pool: Pool, heads: string, values: readonly unknown[]): Promise<ViewsAt> {
  const rows = await read<{ answer: Answer }>(pool, VIEW_OF(heads), values);
  const answer = rows[0]?.answer;
  const tasksOf = groupBy(answer?.tasks ?? [], (row) => row.job_uid);
  const views = (answer?.jobs ?? []).map((row) => ({
    job: jobFromRow(row),
    tasks: (tasksOf.get(row.uid) ?? []).map(taskFromRow),
  }));
  return { revision: BigInt(answer?.revision ?? 0), views };
}

export function viewsByJobId(pool: Pool, jobIds: readonly string[]): Promise<ViewsAt> {
  return readViews(pool, "select * from jobs where job_id = any ($1)", [jobIds]);
}

export function viewsByUid(pool: Pool, uids: readonly string[]): Promise<ViewsAt> {
  return readViews(pool, "select * from jobs where uid = any ($1)", [uids]);
}

/** Jobs in the order of their uids (creation), after `afterUid` and up to `lastUid`. */
export function viewsPage(pool: Pool, afterUid: string, lastUid: string, limit: number): Promise<ViewsAt> {
  return readViews(pool, "select * from jobs where uid > $1 and uid <= $2 order by uid limit $3", [afterUid, lastUid, limit]);
}

export const FIRST_UID = "00000000-0000-0000-0000-000000000000";

export async function newestUid(pool: Pool): Promise<string> {
  const rows = await read<{ uid: string }>(pool, "select uid from jobs order by uid desc limit 1", []);
  return rows[0]?.uid ?? FIRST_UID;
}
