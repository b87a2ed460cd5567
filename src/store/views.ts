/** Reads jobs as callers see them: a job with its tasks, all as of one moment. */

import type { Actor, JobRecord, JobState, JobView, Verb } from "../core/job.js";
import { NEWEST_REVISION } from "./events.js";
import { type Pool, read } from "./pool.js";
import { groupBy, type JobRow, jobFromRow, type TaskRow, taskFromRow } from "./rows.js";

interface Answer {
  readonly revision: string;
  readonly jobs: JobRow[] | null;
  readonly tasks: TaskRow[] | null;
  readonly commands: CommandRow[] | null;
  readonly inputs: { readonly job_uid: string; readonly text: string }[] | null;
}

interface CommandRow {
  readonly job_uid: string;
  readonly verb: Verb;
  readonly actor: Actor;
  readonly reason: string;
  readonly time: string;
  readonly result: string;
}

export interface ViewsAt {
  /** The last revision that the views contain. */
  readonly revision: bigint;
  readonly views: readonly JobView[];
}

/** What only a record holds. */
const RECORD = `,
  'inputs', (select json_agg(json_build_object('job_uid', i.job_uid, 'text', i.input_config) order by i.idx)
    from task_inputs i join heads h on h.uid = i.job_uid),
  'commands', (select json_agg(json_build_object('job_uid', c.job_uid, 'verb', c.verb, 'actor', c.actor, 'reason', c.reason,
    'time', c.time, 'result', c.result) order by c.seq) from commands c join heads h on h.uid = c.job_uid)`;

const VIEW_OF = (heads: string, more = "", before = ""): string => `
with ${before}heads as (${heads})
select json_build_object(
  'revision', ${NEWEST_REVISION},
  'jobs', (select json_agg(h order by h.uid) from heads h),
  'tasks', (select json_agg(t order by t.job_uid, t.idx) from tasks t join heads h on h.uid = t.job_uid)${more}
) as answer`;

async function readViews(pool: Pool, heads: string, values: readonly unknown[]): Promise<ViewsAt> {
  const rows = await read<{ answer: Answer }>(pool, VIEW_OF(heads), values);
  return viewsFromAnswer(rows[0]?.answer);
}

function viewsFromAnswer(answer: Answer | undefined): ViewsAt {
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

/** Jobs with their tasks, their inputs, and the commands that took effect. */
export async function recordsByJobId(pool: Pool, jobIds: readonly string[]): Promise<JobRecord[]> {
  const text = VIEW_OF("select * from jobs where job_id = any ($1)", RECORD);
  const answer = (await read<{ answer: Answer }>(pool, text, [jobIds]))[0]?.answer;
  const inputsOf = groupBy(answer?.inputs ?? [], (row) => row.job_uid);
  const commandsOf = groupBy(answer?.commands ?? [], (row) => row.job_uid);
  return viewsFromAnswer(answer).views.map((view) => ({
    ...view,
    inputs: (inputsOf.get(view.job.uid) ?? []).map((row) => row.text),
    commands: (commandsOf.get(view.job.uid) ?? []).map(({ job_uid: _of, ...row }) => ({ ...row, time: Date.parse(row.time) })),
  }));
}

export interface PageRequest {
  readonly after: string;
  readonly last: string;
  /** The page ends at either bound, but holds one job at least. */
  readonly most: { readonly jobs: number; readonly tasks: number };
  /** Null = any. */
  readonly jobIds: readonly string[] | null;
  /** All of them take part in the job. */
  readonly domains: readonly string[];
  /** Null = any. */
  readonly states: readonly JobState[] | null;
}

const PAGE_OF = (which: string): string =>
  VIEW_OF(
    "select * from candidates where tasks <= $6 or place = 1",
    ", 'candidates', (select count(*) from candidates)",
    `candidates as (
      select *, row_number() over (order by uid) as place, sum((counts ->> 'total')::int) over (order by uid) as tasks
      from (
        select * from jobs where uid > $1 and uid <= $2 and domains ?& $4 and ($5::text[] is null or state = any ($5))
          and ${which} order by uid limit $3
      ) first
    ), `,
  );
const ANY_PAGE = PAGE_OF("$7::text[] is null");
const PAGE_OF_NAMED = PAGE_OF("job_id = any ($7::text[])");

/** Jobs in the order of their uids (creation), after `after` and up to `last`. `more`: there may be others after them. */
export async function viewsPage(
  pool: Pool,
  { after, last, most, jobIds, domains, states }: PageRequest,
): Promise<ViewsAt & { readonly more: boolean }> {
  const values = [after, last, most.jobs, domains, states, most.tasks, jobIds];
  const rows = await read<{ answer: Answer & { readonly candidates: number } }>(pool, jobIds ? PAGE_OF_NAMED : ANY_PAGE, values);
  const answer = rows[0]?.answer;
  const page = viewsFromAnswer(answer);
  const candidates = answer?.candidates ?? 0;
  return { ...page, more: candidates === most.jobs || candidates > page.views.length };
}

export const FIRST_UID = "00000000-0000-0000-0000-000000000000";

export interface Newest {
  /** Of the job that was made last; `FIRST_UID` where there is none. */
  readonly uid: string;
  readonly revision: bigint;
}

/** Both as of one moment. */
export async function newest(pool: Pool): Promise<Newest> {
  const text = `select (select uid from jobs order by uid desc limit 1) as uid,
    ${NEWEST_REVISION} as revision`;
  const rows = await read<{ uid: string | null; revision: string }>(pool, text, []);
  return { uid: rows[0]?.uid ?? FIRST_UID, revision: BigInt(rows[0]?.revision ?? 0) };
}
