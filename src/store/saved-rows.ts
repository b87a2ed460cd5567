/**
 * How rows are saved: the columns of the composite types that `save_batch` takes, in their order. How they are read back
 * stands in rows.ts.
 */

import type { Attempt, CommandRecord, Job, JobEvent, Task } from "../core/job.js";
import { durationRank, shownStatus } from "../core/list.js";
import { bigint, boolean, type Column, instant, int, ints, json, jsonb, type Layout, layout, real, text, texts, uuid } from "./binary-rows.js";
import { listsOfJob } from "./lists/names.js";
import type { JobRow, TaskRow, AttemptRow } from "./rows.js";
import type { RequestKey } from "./slices.js";

/** What a move may have changed. */
type JobChangeRow = Omit<
  JobRow,
  | "job_id"
  | "initiator"
  | "max_parallelism"
  | "schedule_mode"
  | "custom_fields"
  | "content_hash"
  | "surface"
  | "created_by"
  | "created_at"
  | "lists"
>;

const jobChangeColumns = {
  uid: uuid((job) => job.uid),
  version: int((job) => job.version),
  domains: jsonb((job) => job.domains),
  state: text((job) => job.state),
  reason: text((job) => job.reason),
  message: text((job) => job.message),
  since: instant((job) => job.since),
  wanted: jsonb((job) => job.wanted),
  cause: text((job) => job.cause),
  counts: jsonb((job) => job.counts),
  started_at: instant((job) => job.startedAt),
  ended_at: instant((job) => job.endedAt),
  interrupted_ms: bigint((job) => job.interruptedMs),
  updated_at: instant((job) => job.updatedAt),
  begun: boolean((job) => job.begun),
  shown: text((job) => shownStatus(job)),
  duration_rank: bigint((job) => durationRank(job)),
} satisfies Record<keyof JobChangeRow, Column<Job>>;

export const JOB_CHANGE = layout<Job>("job_change", jobChangeColumns);

export const NEW_JOB = layout<Job>("new_job", {
  ...jobChangeColumns,
  job_id: text((job) => job.jobId),
  initiator: text((job) => job.initiator),
  max_parallelism: int((job) => job.maxParallelism),
  schedule_mode: text((job) => job.scheduleMode),
  custom_fields: jsonb((job) => job.customFields),
  content_hash: text((job) => job.contentHash),
  surface: text((job) => job.surface),
  created_by: jsonb((job) => job.createdBy),
  created_at: instant((job) => job.createdAt),
  lists: texts((job) => listsOfJob(job)),
} satisfies Record<keyof JobRow, Column<Job>>);

export interface SavedTask {
  readonly jobUid: string;
  readonly task: Task;
}

type TaskChangeRow = Omit<TaskRow, "alias" | "task_id" | "definition" | "image_digest" | "priority" | "dependents">;

const taskChangeColumns = {
  job_uid: uuid(({ jobUid }) => jobUid),
  idx: int(({ task }) => task.index),
  waiting_on: int(({ task }) => task.waitingOn),
  state: text(({ task }) => task.state),
  reason: text(({ task }) => task.reason),
  message: text(({ task }) => task.message),
  since: instant(({ task }) => task.since),
  created_at: instant(({ task }) => task.createdAt),
  started_at: instant(({ task }) => task.startedAt),
  ended_at: instant(({ task }) => task.endedAt),
  progress: real(({ task }) => task.progress),
  attempt: int(({ task }) => task.attempt),
  tries: int(({ task }) => task.tries),
  live: boolean(({ task }) => task.live),
  runner: text(({ task }) => task.runner),
  stopping: json(({ task }) => task.stopping),
  not_before: instant(({ task }) => task.notBefore),
  deadline: instant(({ task }) => task.deadline),
  parties: json(({ task }) => task.parties),
} satisfies Record<keyof TaskChangeRow, Column<SavedTask>>;

export const TASK_CHANGE = layout<SavedTask>("task_change", taskChangeColumns);

export const NEW_TASK = layout<SavedTask>("new_task", {
  ...taskChangeColumns,
  alias: text(({ task }) => task.definition.alias),
  task_id: text(({ task }) => task.definition.taskId),
  definition: json(({ task }) => task.definition),
  image_digest: text(({ task }) => task.imageDigest),
  priority: int(({ task }) => task.definition.priority),
  dependents: ints(({ task }) => task.dependents),
} satisfies Record<keyof TaskRow, Column<SavedTask>>);

export const ATTEMPT = layout<Attempt>("saved_attempt", {
  uid: uuid((attempt) => attempt.uid),
  job_uid: uuid((attempt) => attempt.jobUid),
  task_idx: int((attempt) => attempt.taskIndex),
  number: int((attempt) => attempt.number),
  domain: text((attempt) => attempt.domain),
  role: text((attempt) => attempt.role),
  replica: int((attempt) => attempt.replica),
  runner: text((attempt) => attempt.runner),
  state: text((attempt) => attempt.state),
  exit_code: int((attempt) => attempt.exitCode),
  signal: text((attempt) => attempt.signal),
  message: text((attempt) => attempt.message),
  created_at: instant((attempt) => attempt.createdAt),
  started_at: instant((attempt) => attempt.startedAt),
  ended_at: instant((attempt) => attempt.endedAt),
} satisfies Record<keyof AttemptRow, Column<Attempt>>);

export interface SavedInput {
  readonly jobUid: string;
  readonly index: number;
  readonly input: string;
}

export const NEW_INPUT = layout<SavedInput>("new_input", {
  job_uid: uuid(({ jobUid }) => jobUid),
  idx: int(({ index }) => index),
  input_config: text(({ input }) => input),
});

export interface SavedRequest {
  readonly job: Job;
  readonly request: RequestKey;
}

export const NEW_REQUEST = layout<SavedRequest>("new_request", {
  job_uid: uuid(({ job }) => job.uid),
  caller: text(({ request }) => request.caller),
  request_id: text(({ request }) => request.id),
  job_id: text(({ job }) => job.jobId),
  content_hash: text(({ job }) => job.contentHash),
});

/** By name and digest. */
export const USED_IMAGE = layout<readonly [string, string]>("used_image", {
  name: text(([name]) => name),
  digest: text(([, digest]) => digest),
});

export interface SavedCommand {
  readonly jobUid: string;
  readonly command: CommandRecord;
}

export const NEW_COMMAND = layout<SavedCommand>("new_command", {
  job_uid: uuid(({ jobUid }) => jobUid),
  verb: text(({ command }) => command.verb),
  actor: jsonb(({ command }) => command.actor),
  reason: text(({ command }) => command.reason),
  time: instant(({ command }) => command.time),
  result: text(({ command }) => command.result),
});

export interface SavedEvent {
  readonly job: Job;
  readonly event: JobEvent;
}

export const NEW_EVENT = layout<SavedEvent>("new_event", {
  job_uid: uuid(({ job }) => job.uid),
  job_id: text(({ job }) => job.jobId),
  kind: text(({ event }) => event.kind),
  time: instant(({ event }) => event.time),
  detail: json(({ event: { kind: _kind, time: _time, ...detail } }) => detail),
});

/** A job that is to go, with the version that it would have next. */
export const DELETED_JOB = layout<{ readonly uid: string; readonly version: number }>("deleted_job", {
  uid: uuid(({ uid }) => uid),
  version: int(({ version }) => version),
});

export const LAYOUTS: readonly Layout<never>[] = [
  JOB_CHANGE,
  TASK_CHANGE,
  ATTEMPT,
  DELETED_JOB,
  NEW_JOB,
  NEW_TASK,
  NEW_INPUT,
  NEW_REQUEST,
  USED_IMAGE,
  NEW_COMMAND,
  NEW_EVENT,
];
