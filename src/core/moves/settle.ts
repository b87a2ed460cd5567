/**
 * What follows from a task's end or a command, decided from the job's counters (Kuscia Job API, scheduling inside a job).
 *
 * Result of a running job, first match wins:
 *   an end is wanted        when no attempt lives, that end
 *   all critical tasks done Succeeded, once the tolerable ones have ended too
 *   Strict and a failure    Failed, once the running tasks are stopped
 *   BestEffort and failures Failed, once nothing runs and nothing is ready
 *   else                    start ready tasks, highest priority first, up to max_parallelism
 */

import { type Instant, type Reason, SYSTEM, type StageVerb, type Task, type Verb, type Wanted } from "../job.js";
import type { JobDraft } from "./draft.js";
import { NeedsWholeJob } from "./draft.js";
import { endUnrun, openAttempt, stopTask } from "./ending.js";
import { moveJob } from "./move.js";

/** Brings the job to where its tasks and wishes say it must be. Called at the end of every move. */
export function advance(draft: JobDraft, now: Instant): void {
  const { job } = draft;
  if (job.wanted) {
    if (job.counts.live === 0) carryOut(draft, job.wanted, now);
    return;
  }
  if (job.state !== "Running") return;
  const { counts } = job;
  if (counts.criticalFailed === 0 && counts.succeeded + counts.failed === counts.total) {
    moveJob(draft, "Succeeded", { reason: "None", message: "", now }, null);
    return;
  }
  if (counts.criticalFailed > 0) {
    const stuck = counts.live === 0 && counts.ready === 0;
    if (job.scheduleMode === "Strict" || stuck) {
      draft.requireWhole();
      want(draft, {
        outcome: "Failed",
        reason: "TaskFailed",
        message: failureSentence(draft),
        actor: SYSTEM,
        since: now,
      });
      return;
    }
  }
  startReady(draft, now);
}

/** Asks for an end: live tasks are told to stop, the state moves when none is left. Needs the whole job. */
export function want(draft: JobDraft, wanted: Wanted): void {
  draft.requireWhole();
  const { state, since, interruptedMs } = draft.job;
  // A suspended job that takes another end did not run until then.
  if (state === "Suspended") draft.setJob({ interruptedMs: interruptedMs + Math.max(0, wanted.since - since) });
  const why: { reason: Reason; message: string } = { reason: wanted.reason, message: wanted.message };
  draft.setJob({ wanted, reason: "Stopping", message: wanted.message, since: wanted.since });
  for (const task of draft.tasks.values()) if (task.live) stopTask(draft, task.index, why, wanted.since);
  if (draft.job.counts.live === 0) carryOut(draft, wanted, wanted.since);
  else {
    draft.emit({
      kind: "JobMoved",
      time: wanted.since,
      actor: wanted.actor,
      from: draft.job.state,
      to: draft.job.state,
      reason: "Stopping",
      message: wanted.message,
    });
  }
}

const CAUSE_OF = {
  Suspended: "Suspend",
  Failed: "Stop",
  Cancelled: "Cancel",
  Deleted: "Delete",
} as const satisfies Record<Wanted["outcome"], Verb>;

function carryOut(draft: JobDraft, wanted: Wanted, now: Instant): void {
  const { job } = draft;
  if (wanted.outcome === "Deleted") {
    draft.deleted = true;
    draft.emit({ kind: "JobDeleted", time: now, actor: wanted.actor, from: job.state, reason: "None", message: wanted.message });
    return;
  }
  const byCommand = wanted.reason !== "TaskFailed";
  if (wanted.outcome !== "Suspended") endUnstarted(draft, wanted, now);
  const message = byCommand ? wanted.message : failureSentence(draft);
  const cause = byCommand ? CAUSE_OF[wanted.outcome] : null;
  moveJob(draft, wanted.outcome, { reason: wanted.reason, message, now, actor: wanted.actor }, cause);
  if (byCommand) setStage(draft, CAUSE_OF[wanted.outcome]);
}

/** Tasks that were never started end with the job, with a message of their own that stays out of the job's. */
function endUnstarted(draft: JobDraft, wanted: Wanted, now: Instant): void {
  draft.requireWhole();
  for (const task of draft.tasks.values()) {
    if (task.state !== "Pending") continue;
    const message = `not run: ${wanted.reason === "TaskFailed" ? "the job failed before" : wanted.message}`;
    endUnrun(draft, task, { reason: "NotRun", message, now, actor: wanted.actor });
  }
}

export function setStage(draft: JobDraft, verb: StageVerb | "Delete"): void {
  if (verb === "Delete") return;
  const domains = Object.entries(draft.job.domains).map(
    ([domain, status]) => [domain, { ...status, stage: `Job${verb}StageSucceeded` as const }] as const,
  );
  draft.setJob({ domains: Object.fromEntries(domains) });
}

function isReady(task: Task): boolean {
  return task.state === "Pending" && !task.live && task.waitingOn === 0;
}

function startReady(draft: JobDraft, now: Instant): void {
  const { counts, maxParallelism } = draft.job;
  const slots = Math.min(maxParallelism - counts.live, counts.ready);
  if (slots <= 0) return;
  const candidates: Task[] = [];
  for (const task of draft.tasks.values()) if (isReady(task)) candidates.push(task);
  if (candidates.length < slots) throw new NeedsWholeJob("ready tasks are not loaded");
  candidates.sort((a, b) => b.definition.priority - a.definition.priority || a.index - b.index);
  for (const task of candidates.slice(0, slots)) open(draft, task, now);
}

function open(draft: JobDraft, task: Task, now: Instant): void {
  draft.count({ live: 1, ready: -1 });
  openAttempt(draft, task.index, { reason: "WaitingRunner", message: "", now });
}

/**
 * One sentence over all parties that failed on their own account, in the order in which they failed. Parties that were
 * stopped because a partner failed, and tasks that never ran, are left out: they explain nothing.
 */
export function failureSentence(draft: JobDraft): string {
  const parts: { at: Instant; index: number; text: string }[] = [];
  for (const task of draft.tasks.values()) {
    if (task.reason === "NotRun" || task.definition.tolerable) continue;
    const failed = task.parties.filter((party) => party.state === "Failed" && party.reason !== "PartnerFailed");
    for (const party of failed) {
      const text = `Task[${task.definition.alias}]-Party[${party.domain}]: ${party.message}`;
      parts.push({ at: party.endedAt ?? 0, index: task.index, text });
    }
    if (task.state === "Failed" && failed.length === 0 && task.message !== "") {
      parts.push({ at: task.endedAt ?? 0, index: task.index, text: `Task[${task.definition.alias}]: ${task.message}` });
    }
  }
  parts.sort((a, b) => a.at - b.at || a.index - b.index);
  return parts.map((part) => part.text).join("; ");
}
