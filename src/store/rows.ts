/**
 * Rows as they are read: JSON objects with the tables' own column names, and one function per noun that makes the value of
 * it. How rows are saved stands in saved-rows.ts; the types there hold both to the same columns.
 */

import type {
  Actor,
  Attempt,
  AttemptState,
  Counts,
  DomainStatus,
  Instant,
  Job,
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
import type { ShownStatus } from "../core/list.js";
import { moved } from "../core/moves/states.js";

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

function instant(text: Timestamp): Instant;
function instant(text: Timestamp | null): Instant | null;
function instant(text: Timestamp | null): Instant | null {
  return text === null ? null : Date.parse(text);
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
