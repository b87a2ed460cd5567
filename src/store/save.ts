/** Saves the drafts of one batch in one statement. */

import type { Instant, Job, Task } from "../core/job.js";
import type { JobDraft } from "../core/moves/draft.js";
import type { Commit, JobChange } from "./changes.js";
import type { Pool } from "./pool.js";
import type { RequestKey } from "./slices.js";
import type { OpenTask } from "./work.js";
import { rowFromAttempt, rowFromCommand, rowFromEvent, rowFromJob, rowFromJobChange, rowFromTask, rowFromTaskChange } from "./rows.js";

export interface Saved {
  readonly draft: JobDraft;
  readonly isNew: boolean;
  /** The id that the client gave the request that makes the job, null where it gave none. */
  readonly request: RequestKey | null;
}

export interface SaveResult {
  /** Uids of the jobs that were written; the others had changed since they were read, or their job_id was taken. */
  readonly won: ReadonlySet<string>;
  readonly commit: Commit | null;
}

export async function saveDrafts(pool: Pool, entries: readonly Saved[], now: Instant): Promise<SaveResult> {
  const { rows } = await pool.query<{ answer: { won: string[]; revision: number | null } }>({
    name: "apply-batch",
    text: "select apply_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as answer",
    values: argumentsOf(batchOf(entries, now)),
  });
  const answer = rows[0]?.answer;
  const won = new Set(answer?.won ?? []);
  const last = answer?.revision ?? null;
  return { won, commit: last === null ? null : commitOf(entries.filter(({ draft }) => won.has(draft.job.uid)), BigInt(last)) };
}

/** Revisions were given out in the order of the events, under a lock, so they follow from the last one. */
function commitOf(entries: readonly Saved[], last: bigint): Commit {
  const total = entries.reduce((sum, { draft }) => sum + draft.events.length, 0);
  const first = last - BigInt(total) + 1n;
  const changes: JobChange[] = [];
  const opened: OpenTask[] = [];
  let stops = false;
  let next = first;
  for (const { draft, isNew } of entries) {
    for (const task of touchedTasks(draft, isNew)) {
      stops ||= task.runner !== null && task.stopping !== null;
      if (isClaimable(task)) opened.push(openTask(draft, task));
    }
    if (draft.events.length === 0) continue;
    const from = next;
    next += BigInt(draft.events.length);
    const { job, deleted } = draft;
    // The last state of a deleted job is the one before, as the tombstone keeps it.
    const last = deleted ? draft.origin : { job, tasks: [...draft.tasks.values()] };
    const view = { job: last.job, tasks: last.tasks.toSorted((one, other) => one.index - other.index) };
    changes.push({ uid: job.uid, first: from, last: next - 1n, created: isNew, deleted, view });
  }
  return { first, last, changes: entries.every(({ draft }) => draft.complete) ? changes : null, opened, stops };
}

function touchedTasks(draft: JobDraft, isNew: boolean): Task[] {
  if (draft.deleted) return [];
  return isNew ? [...draft.tasks.values()] : [...draft.changedTasks].map((index) => draft.task(index));
}

/** A task whose pause before the next try is not over is woken by the clock. */
function isClaimable(task: Task): boolean {
  return task.live && task.runner === null && task.stopping === null && task.notBefore === null;
}

function openTask({ job, inputs }: JobDraft, task: Task): OpenTask {
  return { jobUid: job.uid, jobId: job.jobId, task, inputConfig: inputs.get(task.index) ?? null };
}

/** Rows by what is to be done with them, as `apply_batch` takes them. */
interface Batch {
  readonly jobs: object[];
  readonly tasks: object[];
  readonly attempts: object[];
  readonly newAttempts: object[];
  readonly deleted: object[];
  readonly newJobs: object[];
  readonly newTasks: object[];
  readonly newInputs: object[];
  readonly newRequests: object[];
  readonly commands: object[];
  readonly events: object[];
  work: boolean;
}

function argumentsOf(batch: Batch): unknown[] {
  const { jobs, tasks, attempts, newAttempts, deleted, newJobs, newTasks, newInputs, newRequests, commands, events, work } = batch;
  const rows = [jobs, tasks, attempts, newAttempts, deleted, newJobs, newTasks, newInputs, newRequests, commands, events];
  return [...rows.map((each) => JSON.stringify(each)), work];
}

function batchOf(entries: readonly Saved[], now: Instant): Batch {
  const batch: Batch = {
    jobs: [],
    tasks: [],
    attempts: [],
    newAttempts: [],
    deleted: [],
    newJobs: [],
    newTasks: [],
    newInputs: [],
    newRequests: [],
    commands: [],
    events: [],
    work: false,
  };
  for (const { draft, isNew, request } of entries) {
    const { job } = draft;
    for (const event of draft.events) batch.events.push(rowFromEvent(job, event));
    batch.work ||= givesWork(draft);
    if (draft.deleted) {
      batch.deleted.push({ uid: job.uid, version: job.version + 1 });
      continue;
    }
    for (const command of draft.commands) batch.commands.push(rowFromCommand(job.uid, command));
    if (isNew) {
      batch.newJobs.push(rowFromJob(job, 1, now));
      for (const task of draft.tasks.values()) batch.newTasks.push(rowFromTask(job.uid, task));
      for (const [idx, text] of draft.inputs) batch.newInputs.push({ job_uid: job.uid, idx, input_config: text });
      if (request) batch.newRequests.push(rowFromRequest(job, request));
      continue;
    }
    batch.jobs.push(rowFromJobChange(job, job.version + 1, now));
    for (const index of draft.changedTasks) batch.tasks.push(rowFromTaskChange(job.uid, draft.task(index)));
    for (const uid of draft.newAttempts) pushAttempt(batch.newAttempts, draft, uid);
    for (const uid of draft.changedAttempts) pushAttempt(batch.attempts, draft, uid);
  }
  return batch;
}

function rowFromRequest(job: Job, { caller, id }: RequestKey): object {
  return { caller, request_id: id, job_id: job.jobId, content_hash: job.contentHash, job_uid: job.uid };
}

function pushAttempt(rows: object[], draft: JobDraft, uid: string): void {
  const attempt = draft.attempts.get(uid);
  if (attempt) rows.push(rowFromAttempt(attempt));
}

/** Whether a runner has something to do: a task to claim, attempts to stop, folders to clear. */
function givesWork(draft: JobDraft): boolean {
  if (draft.deleted) return true;
  for (const index of draft.changedTasks) {
    const task = draft.task(index);
    if (task.live && (task.runner === null || task.stopping)) return true;
  }
  return false;
}
