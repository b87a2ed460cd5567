/** Writing a state: the one place that sets state, reason, message and times together, and emits the event. */

import { JobError } from "../error.js";
import {
  type Actor,
  type Attempt,
  type AttemptState,
  type Instant,
  type Job,
  jobEnded,
  type JobState,
  type Party,
  type Reason,
  SYSTEM,
  type Task,
  type TaskState,
  type Verb,
} from "../job.js";
import type { JobDraft } from "./draft.js";
import { ATTEMPT_MOVES, JOB_MOVES, moved, TASK_MOVES } from "./states.js";

export interface Why {
  readonly reason: Reason;
  readonly message: string;
  readonly now: Instant;
  readonly actor?: Actor;
}

function assertLegal<S extends string>(what: string, table: Record<S, readonly S[]>, from: S, to: S): void {
  if (!table[from].includes(to)) throw new JobError("Internal", `illegal move of ${what}: ${from} -> ${to}`);
}

export function moveJob(draft: JobDraft, to: JobState, why: Why, cause: Verb | null): void {
  const job = draft.job;
  assertLegal<JobState>("job", JOB_MOVES, job.state, to);
  const patch: Partial<Job> = {
    state: moved(to),
    reason: why.reason,
    message: why.message,
    since: why.now,
    wanted: null,
    cause,
    // A job that had ended keeps its end time when it goes to another end (Cancel of a Failed job).
    endedAt: jobEnded({ state: to }) ? (job.endedAt ?? why.now) : null,
    startedAt: to === "Running" ? (job.startedAt ?? why.now) : job.startedAt,
  };
  draft.setJob(patch);
  draft.emit({
    kind: "JobMoved",
    time: why.now,
    actor: why.actor ?? SYSTEM,
    from: job.state,
    to,
    reason: why.reason,
    message: why.message,
  });
}

/** Moves a task to a state out of `TASK_MOVES`; times follow from the state. */
export function moveTask(draft: JobDraft, task: Task, to: TaskState, why: Why, also: Partial<Task> = {}): Task {
  assertLegal<TaskState>("task", TASK_MOVES, task.state, to);
  const ended = to === "Succeeded" || to === "Failed";
  const next = draft.setTask(task.index, {
    ...also,
    state: moved(to),
    reason: why.reason,
    message: why.message,
    since: why.now,
    startedAt: to === "Running" ? why.now : task.startedAt,
    endedAt: ended ? why.now : null,
  });
  draft.emit({
    kind: "TaskMoved",
    time: why.now,
    actor: why.actor ?? SYSTEM,
    task: task.definition.alias,
    attempt: next.attempt,
    from: task.state,
    to,
    reason: why.reason,
    message: why.message,
  });
  return next;
}

/** The same state for another reason, e.g. WaitingRunner -> Starting. Silent where nothing changes. */
export function explainTask(draft: JobDraft, task: Task, why: Why): void {
  if (task.reason === why.reason && task.message === why.message) return;
  draft.setTask(task.index, { reason: why.reason, message: why.message, since: why.now });
  draft.emit({
    kind: "TaskMoved",
    time: why.now,
    actor: why.actor ?? SYSTEM,
    task: task.definition.alias,
    attempt: task.attempt,
    from: task.state,
    to: task.state,
    reason: why.reason,
    message: why.message,
  });
}

export function moveParty(draft: JobDraft, taskIndex: number, party: Party, to: TaskState, why: Why): void {
  if (party.state === to) return;
  assertLegal<TaskState>("party", TASK_MOVES, party.state, to);
  const task = draft.task(taskIndex);
  draft.setParty(taskIndex, sameParty(party), {
    state: moved(to),
    reason: why.reason,
    message: why.message,
    since: why.now,
    endedAt: to === "Succeeded" || to === "Failed" ? why.now : null,
  });
  draft.emit({
    kind: "PartyMoved",
    time: why.now,
    actor: why.actor ?? SYSTEM,
    task: task.definition.alias,
    attempt: task.attempt,
    domain: party.domain,
    role: party.role,
    from: party.state,
    to,
    reason: why.reason,
    message: why.message,
  });
}

export function moveAttempt(draft: JobDraft, attempt: Attempt, to: AttemptState, patch: Partial<Attempt>): void {
  assertLegal<AttemptState>("attempt", ATTEMPT_MOVES, attempt.state, to);
  draft.setAttempt({ ...attempt, ...patch, state: moved(to) });
}

export function sameParty(one: { domain: string; role: string }): (other: { domain: string; role: string }) => boolean {
  return (other) => other.domain === one.domain && other.role === one.role;
}
