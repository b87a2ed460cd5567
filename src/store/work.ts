/** What the scheduler and the runners ask: tasks to claim, attempts to stop, deadlines, leases. */

import type { Attempt, Task } from "../core/job.js";
import { type Pool, read } from "./pool.js";
import { type AttemptRow, attemptFromRow, type TaskRow, taskFromRow } from "./rows.js";

export interface OpenTask {
  readonly jobUid: string;
  readonly jobId: string;
  readonly task: Task;
  /** What its app is told; null where it has not been read. */
  readonly inputConfig: string | null;
}

interface OpenTaskRow {
  readonly job_id: string;
  readonly task: TaskRow;
  readonly input_config: string;
}

/** Live tasks that no runner has claimed and that may be now, oldest job first. */
export async function unclaimedTasks(pool: Pool, now: Date, limit: number): Promise<OpenTask[]> {
  const text = `select j.job_id, to_json(t) as task, i.input_config from tasks t join jobs j on j.uid = t.job_uid
    join task_inputs i on i.job_uid = t.job_uid and i.idx = t.idx
    where t.live and t.runner is null and t.stopping is null and (t.not_before is null or t.not_before <= $1)
    order by t.job_uid, t.priority desc, t.idx limit $2`;
  const rows = await read<OpenTaskRow>(pool, text, [now, limit]);
  return rows.map((row) => ({
    jobUid: row.task.job_uid,
    jobId: row.job_id,
    task: taskFromRow(row.task),
    inputConfig: row.input_config,
  }));
}

export async function inputOf(pool: Pool, jobUid: string, taskIndex: number): Promise<string | undefined> {
  const text = "select input_config from task_inputs where job_uid = $1 and idx = $2";
  return (await read<{ input_config: string }>(pool, text, [jobUid, taskIndex]))[0]?.input_config;
}

async function attempts(pool: Pool, where: string, values: readonly unknown[]): Promise<Attempt[]> {
  const rows = await read<{ attempt: AttemptRow }>(pool, `select to_json(a) as attempt from attempts a ${where}`, values);
  return rows.map((row) => attemptFromRow(row.attempt));
}

/** Open attempts of a runner, e.g. to adopt them after a restart. */
export function openAttempts(pool: Pool, runner: string): Promise<Attempt[]> {
  return attempts(pool, "where a.runner = $1 and a.ended_at is null", [runner]);
}

/** Open attempts of a runner whose task has to end. */
export function attemptsToStop(pool: Pool, runner: string): Promise<Attempt[]> {
  return attempts(
    pool,
    `join tasks t on t.job_uid = a.job_uid and t.idx = a.task_idx
     where a.runner = $1 and a.ended_at is null and t.stopping is not null`,
    [runner],
  );
}

/** Open attempts of runners whose lease has lapsed, by the database's clock, or that never had one. */
export function attemptsWithoutLease(pool: Pool, limit: number): Promise<Attempt[]> {
  return attempts(
    pool,
    `where a.ended_at is null
       and not exists (select from runners r where r.id = a.runner and r.lease_until > now()) limit $1`,
    [limit],
  );
}

/** All attempts of a job's task, or of every task, newest number first. */
export function attemptsOfJob(pool: Pool, jobUid: string, taskIndex: number | null): Promise<Attempt[]> {
  return attempts(
    pool,
    `where a.job_uid = $1 and ($2::int is null or a.task_idx = $2)
     order by a.task_idx, a.number desc, a.domain, a.role, a.replica`,
    [jobUid, taskIndex],
  );
}

export async function attemptByUid(pool: Pool, uid: string): Promise<Attempt | undefined> {
  return (await attempts(pool, "where a.uid = $1", [uid]))[0];
}

/** Whether a task's pause before its next try has ended. */
export async function retryIsDue(pool: Pool, now: Date): Promise<boolean> {
  const text = "select 1 from tasks where live and runner is null and not_before <= $1 limit 1";
  return (await read(pool, text, [now])).length > 0;
}

/** Tasks whose time, to be claimed or to run, is over. Judged by the clock that set the deadline, which is the servers'. */
export async function overdueTasks(pool: Pool, now: Date, limit: number): Promise<{ jobUid: string; taskIndex: number }[]> {
  const text = "select job_uid, idx from tasks where live and deadline < $1 limit $2";
  const rows = await read<{ job_uid: string; idx: number }>(pool, text, [now, limit]);
  return rows.map((row) => ({ jobUid: row.job_uid, taskIndex: row.idx }));
}

/** Jobs that wait for approval since before `since`. */
export async function overdueApprovals(pool: Pool, since: Date, limit: number): Promise<string[]> {
  // By way of their entry: the jobs themselves have no index by state.
  const text = `select j.uid from job_entries e join jobs j on j.uid = e.job_uid
    where e.list = 'all' and e.standing = 'AwaitingApproval/Waiting' and j.since <= $1 order by e.job_uid limit $2`;
  return (await read<{ uid: string }>(pool, text, [since, limit])).map((row) => row.uid);
}

export async function renewLease(pool: Pool, runner: string, leaseMs: number): Promise<void> {
  await read(
    pool,
    `insert into runners (id, lease_until) values ($1, now() + $2 * interval '1 millisecond')
     on conflict (id) do update set lease_until = excluded.lease_until`,
    [runner, leaseMs],
  );
}

export async function presentJobs(pool: Pool, uids: readonly string[]): Promise<Set<string>> {
  const rows = await read<{ uid: string }>(pool, "select uid from jobs where uid = any ($1)", [uids]);
  return new Set(rows.map((row) => row.uid));
}
