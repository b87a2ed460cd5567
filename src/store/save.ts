/** Saves the drafts of one batch in one statement. */

import type { Attempt, Instant, Job, Task } from "../core/job.js";
import { shownStatus } from "../core/list.js";
import type { JobDraft } from "../core/moves/draft.js";
import { rowsArgument } from "./binary-rows.js";
import type { Commit, JobChange } from "./changes.js";
import type { Pool } from "./pool.js";
import {
  ATTEMPT,
  DELETED_JOB,
  JOB_CHANGE,
  NEW_COMMAND,
  NEW_EVENT,
  NEW_INPUT,
  NEW_JOB,
  NEW_REQUEST,
  NEW_TASK,
  type SavedCommand,
  type SavedEvent,
  type SavedInput,
  type SavedRequest,
  type SavedTask,
  TASK_CHANGE,
  USED_IMAGE,
} from "./saved-rows.js";
import type { RequestKey } from "./slices.js";
import type { OpenTask } from "./work.js";

export interface Saved {
  readonly draft: JobDraft;
  readonly isNew: boolean;
  /** The id that the client gave the request that makes the job, null where it gave none. */
  readonly request: RequestKey | null;
}

export interface SaveResult {
  /** Uids of the jobs that were written; the others had changed since they were read, or their job_id was taken, or their image is another now. */
  readonly won: ReadonlySet<string>;
  readonly commit: Commit | null;
  /** The jobs that were written and are still there. */
  readonly saved: readonly { readonly draft: JobDraft; readonly job: Job }[];
}

const SAVE = "select save_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as answer";

export async function saveDrafts(pool: Pool, entries: readonly Saved[], now: Instant): Promise<SaveResult> {
  const drafts = entries.map((entry) => ({ ...entry, job: jobAfter(entry, now) }));
  const batch = new Batch();
  for (const each of drafts) batch.add(each);
  const { rows } = await pool.query<{ answer: { lost: string[]; revision: number | null } }>({
    name: "save-batch",
    text: SAVE,
    values: batch.arguments(),
  });
  const [row] = rows;
  if (!row) throw new Error("save_batch gave no answer");
  const { lost: lostUids, revision: last } = row.answer;
  const lost = new Set(lostUids);
  const written = drafts.filter(({ job }) => !lost.has(job.uid));
  return {
    won: new Set(written.map(({ job }) => job.uid)),
    commit: last === null ? null : commitOf(written, BigInt(last)),
    saved: written.filter(({ draft }) => !draft.deleted),
  };
}

/** With the job as it is written. */
interface Written extends Saved {
  readonly job: Job;
}

/** A change within a second that leaves the job's standing as it is does not move it within the lists. */
const LISTED_EVERY_MS = 1_000;

function jobAfter({ draft, isNew }: Saved, now: Instant): Job {
  const { job, origin } = draft;
  const moved = isNew || job.state !== origin.job.state || shownStatus(job) !== shownStatus(origin.job);
  const updatedAt = moved || now >= job.updatedAt + LISTED_EVERY_MS ? Math.max(now, job.updatedAt) : job.updatedAt;
  return { ...job, version: job.version + 1, updatedAt };
}

/** Revisions were given out in the order of the events, under a lock, so they follow from the last one. */
function commitOf(entries: readonly Written[], last: bigint): Commit {
  const total = entries.reduce((sum, { draft }) => sum + draft.events.length, 0);
  const first = last - BigInt(total) + 1n;
  const changes: JobChange[] = [];
  const opened: OpenTask[] = [];
  let stops = false;
  let next = first;
  for (const { draft, isNew, job } of entries) {
    for (const task of touchedTasks(draft, isNew)) {
      stops ||= task.runner !== null && task.stopping !== null;
      if (isClaimable(task)) opened.push(openTask(draft, task));
    }
    if (draft.events.length === 0) continue;
    const from = next;
    next += BigInt(draft.events.length);
    const { deleted } = draft;
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

/** Rows by what is to be done with them, as `save_batch` takes them. */
class Batch {
  readonly changedJobs: Job[] = [];
  readonly changedTasks: SavedTask[] = [];
  readonly changedAttempts: Attempt[] = [];
  readonly newAttempts: Attempt[] = [];
  readonly deletedJobs: Job[] = [];
  readonly newJobs: Job[] = [];
  readonly newTasks: SavedTask[] = [];
  readonly newInputs: SavedInput[] = [];
  readonly newRequests: SavedRequest[] = [];
  readonly usedImages = new Map<string, string>();
  readonly newCommands: SavedCommand[] = [];
  readonly newEvents: SavedEvent[] = [];
  work = false;

  add({ draft, job, isNew, request }: Written): void {
    for (const event of draft.events) this.newEvents.push({ job, event });
    this.work ||= givesWork(draft);
    if (draft.deleted) {
      this.deletedJobs.push(job);
      return;
    }
    for (const command of draft.commands) this.newCommands.push({ jobUid: job.uid, command });
    if (isNew) this.#addNew(draft, request);
    else this.#addChanged(draft);
    (isNew ? this.newJobs : this.changedJobs).push(job);
  }

  #addNew(draft: JobDraft, request: RequestKey | null): void {
    const { job } = draft;
    for (const task of draft.tasks.values()) {
      this.newTasks.push({ jobUid: job.uid, task });
      this.usedImages.set(task.definition.appImage, task.imageDigest);
    }
    for (const [index, input] of draft.inputs) this.newInputs.push({ jobUid: job.uid, index, input });
    if (request) this.newRequests.push({ job, request });
  }

  #addChanged(draft: JobDraft): void {
    const { job, attempts } = draft;
    for (const index of draft.changedTasks) this.changedTasks.push({ jobUid: job.uid, task: draft.task(index) });
    for (const uid of draft.newAttempts) pushIfThere(this.newAttempts, attempts.get(uid));
    for (const uid of draft.changedAttempts) pushIfThere(this.changedAttempts, attempts.get(uid));
  }

  arguments(): unknown[] {
    return [
      rowsArgument(JOB_CHANGE, this.changedJobs),
      rowsArgument(TASK_CHANGE, this.changedTasks),
      rowsArgument(ATTEMPT, this.changedAttempts),
      rowsArgument(ATTEMPT, this.newAttempts),
      rowsArgument(DELETED_JOB, this.deletedJobs),
      rowsArgument(NEW_JOB, this.newJobs),
      rowsArgument(NEW_TASK, this.newTasks),
      rowsArgument(NEW_INPUT, this.newInputs),
      rowsArgument(NEW_REQUEST, this.newRequests),
      rowsArgument(USED_IMAGE, [...this.usedImages]),
      rowsArgument(NEW_COMMAND, this.newCommands),
      rowsArgument(NEW_EVENT, this.newEvents),
      this.work,
    ];
  }
}

function pushIfThere<T>(list: T[], value: T | undefined): void {
  if (value !== undefined) list.push(value);
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
