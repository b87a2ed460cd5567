/**
 * Moves of one task: a runner claims it, its attempts start and end, its deadline passes. A task ends only when every
 * attempt of its number has ended, so an ended task has no live process; until then `stopping` says that and why it
 * must end. Reports about an attempt that is over, or of an earlier number, are refused (fencing).
 */

import { JobError } from "../error.js";
import {
  type Attempt,
  attemptEnded as hasEnded,
  type Endpoint,
  type Instant,
  type Party,
  type Reason,
  SYSTEM,
  type Task,
} from "../job.js";
import type { JobDraft } from "./draft.js";
import { endTask, partnerFailed, requireStop, stopTask } from "./ending.js";
import { explainTask, moveAttempt, moveParty, moveTask, sameParty } from "./move.js";
import { advance } from "./settle.js";
import { moved } from "./states.js";

export interface ClaimedInstance {
  readonly attemptUid: string;
  readonly domain: string;
  readonly role: string;
  readonly replica: number;
  readonly endpoints: readonly Endpoint[];
}

export interface Claim {
  readonly taskIndex: number;
  /** The attempt number that the reservation was made for. */
  readonly number: number;
  readonly runner: string;
  readonly instances: readonly ClaimedInstance[];
  readonly now: Instant;
}

/** A runner has reserved everything for the task: its attempts exist from here on. The same claim again changes nothing. */
export function claim(draft: JobDraft, input: Claim): void {
  const task = draft.task(input.taskIndex);
  if (input.instances.every(({ attemptUid }) => draft.attempts.has(attemptUid))) return;
  const early = task.notBefore !== null && task.notBefore > input.now;
  if (!task.live || task.attempt !== input.number || task.runner !== null || task.stopping || early) {
    throw new JobError("IllegalMove", `attempt ${input.number} of task "${task.definition.alias}" cannot be claimed`);
  }
  for (const instance of input.instances) {
    draft.addAttempt({
      uid: instance.attemptUid,
      jobUid: draft.job.uid,
      taskIndex: task.index,
      number: task.attempt,
      domain: instance.domain,
      role: instance.role,
      replica: instance.replica,
      runner: input.runner,
      state: moved("Starting"),
      exitCode: null,
      signal: null,
      message: "",
      createdAt: input.now,
      startedAt: null,
      endedAt: null,
    });
  }
  const parties = task.parties.map((party) => ({
    ...party,
    reason: "Starting" as const,
    since: input.now,
    endpoints: input.instances.filter(sameParty(party)).flatMap((instance) => instance.endpoints),
  }));
  const claimed = draft.setTask(task.index, { runner: input.runner, notBefore: null, deadline: null, parties });
  explainTask(draft, claimed, { reason: "Starting", message: "", now: input.now });
}

/** No runner has room: says so until one has, or the deadline passes. */
export function waitForRoom(
  draft: JobDraft,
  input: { taskIndex: number; reason: "WaitingRunner" | "WaitingResources"; message: string; now: Instant },
): void {
  const task = draft.task(input.taskIndex);
  if (!task.live || task.runner !== null || task.stopping) return;
  explainTask(draft, task, input);
}

function liveAttempt(draft: JobDraft, attemptUid: string): { attempt: Attempt; task: Task } {
  const attempt = draft.attempts.get(attemptUid);
  if (!attempt) throw new JobError("NotFound", `attempt ${attemptUid} not found`);
  const task = draft.task(attempt.taskIndex);
  if (hasEnded(attempt) || !task.live || task.attempt !== attempt.number) {
    throw new JobError("IllegalMove", `attempt ${attemptUid} is over`);
  }
  return { attempt, task };
}

function partyOf(draft: JobDraft, taskIndex: number, attempt: Attempt): Party {
  const party = draft.task(taskIndex).parties.find(sameParty(attempt));
  if (!party) throw new JobError("Internal", `attempt ${attempt.uid} belongs to no party of its task`);
  return party;
}

/** The app's process is there. Repeats change nothing. */
export function attemptStarted(draft: JobDraft, input: { attemptUid: string; now: Instant }): void {
  const { attempt, task } = liveAttempt(draft, input.attemptUid);
  if (attempt.state === "Running") return;
  const why = { reason: "None", message: "", now: input.now } as const;
  moveAttempt(draft, attempt, "Running", { startedAt: input.now });
  if (!draft.job.begun) draft.setJob({ begun: true });
  const party = partyOf(draft, task.index, attempt);
  if (party.state === "Pending") moveParty(draft, task.index, party, "Running", why);
  if (task.state === "Pending") {
    const still = task.stopping ? { ...why, reason: "Stopping" as const, message: task.stopping.message } : why;
    const seconds = task.definition.runTimeoutSeconds;
    const deadline = seconds > 0 && !task.stopping ? input.now + seconds * 1000 : null;
    moveTask(draft, draft.task(task.index), "Running", still, { deadline });
  }
}

export interface End {
  readonly attemptUid: string;
  readonly outcome: "Succeeded" | "Failed" | "Lost";
  readonly reason: Reason;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly message: string;
  readonly now: Instant;
}

/** The app's process is gone. The first failure of a party stops its partners; the last end ends the task. */
export function attemptEnded(draft: JobDraft, end: End): void {
  const { attempt, task } = liveAttempt(draft, end.attemptUid);
  const { now } = end;
  moveAttempt(draft, attempt, end.outcome, {
    endedAt: now,
    exitCode: end.exitCode,
    signal: end.signal,
    message: end.message,
  });
  const party = partyOf(draft, task.index, attempt);
  if (end.outcome === "Succeeded") {
    const instances = draft.attemptsOf(task).filter(sameParty(party));
    const all = instances.length === party.replicas && instances.every((a) => a.state === "Succeeded");
    if (all) moveParty(draft, task.index, party, "Succeeded", { reason: "None", message: "", now });
  } else if (party.state !== "Failed") {
    moveParty(draft, task.index, party, "Failed", { ...partyFailure(task, end), now });
    if (!task.stopping) {
      const message = `party ${party.domain} failed: ${end.message}`;
      requireStop(draft, task.index, { reason: "PartyFailed", message }, now);
    }
  }
  const open = draft.attemptsOf(draft.task(task.index)).some((a) => !hasEnded(a));
  if (open) return;
  endTask(draft, task.index, now);
  advance(draft, now);
}

/** Why a party failed: on its own account, or since its task was being stopped. */
function partyFailure(task: Task, end: End): { reason: Reason; message: string } {
  const own = { reason: end.reason, message: end.message };
  if (!task.stopping) return own;
  if (task.stopping.reason !== "PartyFailed") return task.stopping;
  // Stopped because a partner failed. One that went by itself, before the stop reached it, has a cause of its own.
  const stopped = end.signal !== null || end.exitCode === 143 || end.exitCode === 137;
  return stopped ? partnerFailed(task.stopping.message) : own;
}

/** A deadline has passed: of waiting for a claim, or of running. Ignored where the task went on meanwhile. */
export function expire(draft: JobDraft, input: { taskIndex: number; now: Instant }): void {
  const task = draft.task(input.taskIndex);
  if (!task.live || task.deadline === null || task.deadline > input.now || task.stopping) return;
  if (task.state === "Running") {
    const message = `ran longer than run_timeout_seconds ${task.definition.runTimeoutSeconds}`;
    return requireStop(draft, task.index, { reason: "RunTimeout", message }, input.now);
  }
  const seconds = Math.round((task.deadline - (task.notBefore ?? task.createdAt ?? task.deadline)) / 1000);
  const waited = task.message === "" ? "no runner took it" : task.message;
  const message = `not started within ${seconds} s: ${waited}`;
  stopTask(draft, task.index, { reason: "SchedulingTimeout", message }, input.now);
  advance(draft, input.now);
}

/** The app's own progress, kept only where it grows. True where it was taken. */
export function reportProgress(draft: JobDraft, input: { attemptUid: string; progress: number; now: Instant }): boolean {
  const { task, attempt } = liveAttempt(draft, input.attemptUid);
  if (input.progress <= task.progress) return false;
  draft.setTask(task.index, { progress: input.progress });
  draft.emit({
    kind: "Progressed",
    time: input.now,
    actor: SYSTEM,
    task: task.definition.alias,
    attempt: task.attempt,
    domain: attempt.domain,
    role: attempt.role,
    progress: input.progress,
  });
  return true;
}
