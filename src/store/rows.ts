/**
 * Rows as JSON and back. The store reads and writes whole rows as JSON objects with the tables' own column names, so one
 * pair of functions per noun is the whole mapping, and both directions stand side by side.
 */

import type {
  Actor,
  Attempt,
  AttemptState,
  CommandRecord,
  Counts,
  DomainStatus,
  Instant,
  Job,
  JobEvent,
  JobState,
  Party,
  Reason,
  ScheduleMode,
  Task,
  TaskDefinition,
  TaskState,
  Verb,
  Wanted,
} from "../core/job.js";
import { durationRank, type ShownStatus, shownStatus } from "../core/list.js";
import { moved } from "../core/moves/states.js";
import { listsOfJob } from "./lists/names.js";

/** A timestamptz as Postgres prints it in JSON. */
type Timestamp = string;

export interface JobRow {
  readonly uid: string;
  readonly job_id: string;
  readonly version: number;
  readonly initiator: string;
  readonly domains: Readonly<Record<string, DomainStatus>>;
  readonly max_parallelism: number;
  readonly schedule_mode: ScheduleMode;
  readonly custom_fields: Readonly<Record<string, string>>;
  readonly content_hash: string;
  readonly surface: string;
  readonly created_by: Actor;
  readonly state: JobState;
  readonly reason: Reason;
  readonly message: string;
  readonly since: Timestamp;
  readonly wanted: Wanted | null;
  readonly cause: Verb | null;
  readonly counts: Counts;
  readonly created_at: Timestamp;
  readonly started_at: Timestamp | null;
  readonly ended_at: Timestamp | null;
  readonly interrupted_ms: number;
  readonly updated_at: Timestamp;
  readonly begun: boolean;
  /** What the job is found by in lists, beside its own columns. */
  readonly shown: ShownStatus;
  readonly lists: readonly string[];
  readonly duration_rank: number;
}

export interface TaskRow {
  readonly job_uid: string;
  readonly idx: number;
  readonly alias: string;
  readonly task_id: string;
  readonly definition: TaskDefinition;
  readonly image_digest: string;
  readonly priority: number;
  readonly waiting_on: number;
  readonly dependents: readonly number[];
  readonly state: TaskState;
  readonly reason: Reason;
  readonly message: string;
  readonly since: Timestamp;
  readonly created_at: Timestamp | null;
  readonly started_at: Timestamp | null;
  readonly ended_at: Timestamp | null;
  readonly progress: number;
  readonly attempt: number;
  readonly tries: number;
  readonly live: boolean;
  readonly runner: string | null;
  readonly stopping: Task["stopping"];
  readonly not_before: Timestamp | null;
  readonly deadline: Timestamp | null;
  readonly parties: readonly Party[];
}

export interface AttemptRow {
  readonly uid: string;
  readonly job_uid: string;
  readonly task_idx: number;
  readonly number: number;
  readonly domain: string;
  readonly role: string;
  readonly replica: number;
  readonly runner: string;
  readonly state: AttemptState;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly message: string;
  readonly created_at: Timestamp;
  readonly started_at: Timestamp | null;
  readonly ended_at: Timestamp | null;
}

export interface EventRow {
  readonly job_uid: string;
  readonly job_id: string;
  readonly kind: JobEvent["kind"];
  readonly time: Timestamp;
  readonly detail: Omit<JobEvent, "kind" | "time">;
}

function timestamp(at: Instant): Timestamp;
function timestamp(at: Instant | null): Timestamp | null;
function timestamp(at: Instant | null): Timestamp | null {
  return at === null ? null : new Date(at).toISOString();
}

function instant(text: Timestamp): Instant;
function instant(text: Timestamp | null): Instant | null;
function instant(text: Timestamp | null): Instant | null {
  return text === null ? null : Date.parse(text);
}

export function rowFromJob(job: Job, version: number, updatedAt: Instant): JobRow {
  return {
    uid: job.uid,
    job_id: job.jobId,
    version,
    initiator: job.initiator,
    domains: job.domains,
    max_parallelism: job.maxParallelism,
    schedule_mode: job.scheduleMode,
    custom_fields: job.customFields,
    content_hash: job.contentHash,
    surface: job.surface,
    created_by: job.createdBy,
    state: job.state,
    reason: job.reason,
    message: job.message,
    since: timestamp(job.since),
    wanted: job.wanted,
    cause: job.cause,
    counts: job.counts,
    created_at: timestamp(job.createdAt),
    started_at: timestamp(job.startedAt),
    ended_at: timestamp(job.endedAt),
    interrupted_ms: job.interruptedMs,
    updated_at: timestamp(updatedAt),
    begun: job.begun,
    shown: shownStatus(job),
    lists: listsOfJob(job),
    duration_rank: durationRank(job),
  };
}

type FixedInJob =
  | "job_id"
  | "initiator"
  | "max_parallelism"
  | "schedule_mode"
  | "custom_fields"
  | "content_hash"
  | "surface"
  | "created_by"
  | "created_at"
  | "lists";

/** As `rowFromTaskChange`. */
export function rowFromJobChange(job: Job, version: number, updatedAt: Instant): Omit<JobRow, FixedInJob> {
  const {
    job_id: _j,
    initiator: _i,
    max_parallelism: _m,
    schedule_mode: _s,
    custom_fields: _f,
    content_hash: _h,
    surface: _l,
    created_by: _b,
    created_at: _t,
    lists: _n,
    ...change
  } = rowFromJob(job, version, updatedAt);
  return change;
}

export function jobFromRow(row: JobRow): Job {
  return {
    uid: row.uid,
    jobId: row.job_id,
    version: row.version,
    initiator: row.initiator,
    domains: row.domains,
    maxParallelism: row.max_parallelism,
    scheduleMode: row.schedule_mode,
    customFields: row.custom_fields,
    contentHash: row.content_hash,
    surface: row.surface,
    createdBy: row.created_by,
    state: moved(row.state),
    reason: row.reason,
    message: row.message,
    since: instant(row.since),
    wanted: row.wanted,
    cause: row.cause,
    counts: row.counts,
    begun: row.begun,
    createdAt: instant(row.created_at),
    updatedAt: instant(row.updated_at),
    startedAt: instant(row.started_at),
    endedAt: instant(row.ended_at),
    interruptedMs: row.interrupted_ms,
  };
}

export function rowFromTask(jobUid: string, task: Task): TaskRow {
  return {
    job_uid: jobUid,
    idx: task.index,
    alias: task.definition.alias,
    task_id: task.definition.taskId,
    definition: task.definition,
    image_digest: task.imageDigest,
    priority: task.definition.priority,
    waiting_on: task.waitingOn,
    dependents: task.dependents,
    state: task.state,
    reason: task.reason,
    message: task.message,
    since: timestamp(task.since),
    created_at: timestamp(task.createdAt),
    started_at: timestamp(task.startedAt),
    ended_at: timestamp(task.endedAt),
    progress: task.progress,
    attempt: task.attempt,
    tries: task.tries,
    live: task.live,
    runner: task.runner,
    stopping: task.stopping,
    not_before: timestamp(task.notBefore),
    deadline: timestamp(task.deadline),
    parties: task.parties,
  };
}

type FixedInTask = "definition" | "alias" | "task_id" | "image_digest" | "priority" | "dependents";

/** What a move may have changed: what stays as it was is not sent again. */
export function rowFromTaskChange(jobUid: string, task: Task): Omit<TaskRow, FixedInTask> {
  const row = rowFromTask(jobUid, task);
  const { definition: _d, alias: _a, task_id: _t, image_digest: _i, priority: _p, dependents: _n, ...change } = row;
  return change;
}

export function taskFromRow(row: TaskRow): Task {
  return {
    index: row.idx,
    definition: row.definition,
    imageDigest: row.image_digest,
    waitingOn: row.waiting_on,
    dependents: row.dependents,
    state: moved(row.state),
    reason: row.reason,
    message: row.message,
    since: instant(row.since),
    createdAt: instant(row.created_at),
    startedAt: instant(row.started_at),
    endedAt: instant(row.ended_at),
    progress: row.progress,
    attempt: row.attempt,
    tries: row.tries,
    live: row.live,
    runner: row.runner,
    stopping: row.stopping,
    notBefore: instant(row.not_before),
    deadline: instant(row.deadline),
    // Stored as moves wrote it, so its states carry the brand.
    parties: row.parties,
  };
}

export function rowFromAttempt(attempt: Attempt): AttemptRow {
  return {
    uid: attempt.uid,
    job_uid: attempt.jobUid,
    task_idx: attempt.taskIndex,
    number: attempt.number,
    domain: attempt.domain,
    role: attempt.role,
    replica: attempt.replica,
    runner: attempt.runner,
    state: attempt.state,
    exit_code: attempt.exitCode,
    signal: attempt.signal,
    message: attempt.message,
    created_at: timestamp(attempt.createdAt),
    started_at: timestamp(attempt.startedAt),
    ended_at: timestamp(attempt.endedAt),
  };
}

export function attemptFromRow(row: AttemptRow): Attempt {
  return {
    uid: row.uid,
    jobUid: row.job_uid,
    taskIndex: row.task_idx,
    number: row.number,
    domain: row.domain,
    role: row.role,
    replica: row.replica,
    runner: row.runner,
    state: moved(row.state),
    exitCode: row.exit_code,
    signal: row.signal,
    message: row.message,
    createdAt: instant(row.created_at),
    startedAt: instant(row.started_at),
    endedAt: instant(row.ended_at),
  };
}

export function rowFromEvent(job: Job, event: JobEvent): EventRow {
  const { kind, time, ...detail } = event;
  return { job_uid: job.uid, job_id: job.jobId, kind, time: timestamp(time), detail };
}

export function rowFromCommand(jobUid: string, command: CommandRecord): object {
  return { ...command, job_uid: jobUid, time: timestamp(command.time) };
}

export function groupBy<T>(rows: readonly T[], keyOf: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const key = keyOf(row);
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return groups;
}
