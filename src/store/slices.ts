/**
 * Reads what a batch of moves needs, in one statement as of one moment: heads of jobs, the tasks that the moves can touch,
 * the open attempts of those tasks, and for new jobs the images and names that their rules ask about.
 */

import type { Slice } from "../core/moves/draft.js";
import type { AppImage } from "../core/image.js";
import type { Pool } from "./pool.js";
import { type AttemptRow, attemptFromRow, groupBy, type JobRow, jobFromRow, type TaskRow, taskFromRow } from "./rows.js";

/** Jobs with at most this many tasks are always read whole: one index range is cheaper than choosing. */
const WHOLE_BELOW = 32;

export interface Needs {
  /** Jobs to be read whole, by name or uid. */
  readonly wholeIds: readonly string[];
  readonly wholeUids: readonly string[];
  /** Jobs of which one task is touched. */
  readonly parts: readonly { readonly uid: string; readonly taskIndex: number }[];
  readonly images: readonly string[];
  readonly taskIds: readonly string[];
}

export interface ResolvedImage {
  readonly digest: string;
  readonly image: AppImage;
}

export interface Loaded {
  readonly slices: readonly Slice[];
  readonly images: ReadonlyMap<string, ResolvedImage>;
  /** Of the asked task_ids, those that a present job uses, with the job's name. */
  readonly takenTaskIds: ReadonlyMap<string, string>;
}

interface Answer {
  jobs: (JobRow & { whole: boolean })[] | null;
  tasks: TaskRow[] | null;
  attempts: AttemptRow[] | null;
  images: { name: string; digest: string; content: AppImage }[] | null;
  taken: { task_id: string; job_id: string }[] | null;
}

const LOAD = `
with parts as (
  select p.uid, p.idx from unnest($3::uuid[], $4::int[]) as p(uid, idx)
),
heads as (
  select j.*, (j.job_id = any ($1) or j.uid = any ($2) or (j.counts ->> 'total')::int <= ${WHOLE_BELOW}) as whole
  from jobs j where j.job_id = any ($1) or j.uid = any ($2) or j.uid in (select uid from parts)
),
touched as (
  select t.* from tasks t join heads h on h.uid = t.job_uid where h.whole
  union all
  select t.* from tasks t join heads h on h.uid = t.job_uid
  where not h.whole and t.idx in (
    select p.idx from parts p where p.uid = h.uid
    union select unnest(d.dependents) from tasks d join parts p on p.uid = d.job_uid and p.idx = d.idx where d.job_uid = h.uid
    union (
      -- As many ready tasks as these moves can start: the free slots and one for each task that ends.
      select r.idx from tasks r
      where r.job_uid = h.uid and r.state = 'Pending' and not r.live and r.waiting_on = 0
      order by r.priority desc, r.idx
      limit h.max_parallelism + (select count(*) from parts p where p.uid = h.uid)
    )
  )
)
select json_build_object(
  'jobs', (select json_agg(h) from heads h),
  'tasks', (select json_agg(t) from touched t),
  'attempts', (select json_agg(a) from touched t
     join attempts a on a.job_uid = t.job_uid and a.task_idx = t.idx and a.number = t.attempt where t.live),
  'images', (select json_agg(json_build_object('name', i.name, 'digest', i.digest, 'content', c.content))
     from app_images i join app_image_contents c using (digest) where i.name = any ($5)),
  'taken', (select json_agg(json_build_object('task_id', t.task_id, 'job_id', j.job_id))
     from tasks t join jobs j on j.uid = t.job_uid where t.task_id = any ($6))
) as answer`;

export async function loadSlices(pool: Pool, needs: Needs): Promise<Loaded> {
  const { rows } = await pool.query<{ answer: Answer }>({
    name: "load-slices",
    text: LOAD,
    values: [
      needs.wholeIds,
      needs.wholeUids,
      needs.parts.map((part) => part.uid),
      needs.parts.map((part) => part.taskIndex),
      needs.images,
      needs.taskIds,
    ],
  });
  const answer = rows[0]?.answer;
  const tasksOf = groupBy(answer?.tasks ?? [], (row) => row.job_uid);
  const attemptsOf = groupBy(answer?.attempts ?? [], (row) => row.job_uid);
  return {
    slices: (answer?.jobs ?? []).map((row) => ({
      job: jobFromRow(row),
      tasks: (tasksOf.get(row.uid) ?? []).map(taskFromRow),
      attempts: (attemptsOf.get(row.uid) ?? []).map(attemptFromRow),
      complete: row.whole,
    })),
    images: new Map((answer?.images ?? []).map((row) => [row.name, { digest: row.digest, image: row.content }])),
    takenTaskIds: new Map((answer?.taken ?? []).map((row) => [row.task_id, row.job_id])),
  };
}
