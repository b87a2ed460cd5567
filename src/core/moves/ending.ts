/**
 * How a task ends. It is marked first (`stopping`), ends when its last attempt has, and then frees its slot and its
 * dependents. What that means for the job is decided in `settle`.
 */

import type { Instant, Reason, Task } from "../job.js";
import type { JobDraft } from "./draft.js";
import { explainTask, moveParty, moveTask } from "./move.js";

/** Marks a live task as to be ended; its runner is told by the scheduler. The first cause stays. */
export function requireStop(draft: JobDraft, index: number, why: { reason: Reason; message: string }, now: Instant): void {
  const task = draft.task(index);
  if (task.stopping) return;
  draft.setTask(index, { stopping: why, deadline: null });
  explainTask(draft, draft.task(index), { reason: "Stopping", message: why.message, now });
}

/** Ends a live task: at once where nothing was started, else when its attempts have ended. */
export function stopTask(draft: JobDraft, index: number, why: { reason: Reason; message: string }, now: Instant): void {
  requireStop(draft, index, why, now);
  if (draft.task(index).runner === null) endTask(draft, index, now);
}

/** The last attempt has ended, or there was none. The job is brought on by the caller (`advance`). */
export function endTask(draft: JobDraft, index: number, now: Instant): void {
  const task = draft.task(index);
  const succeeded = task.parties.every((party) => party.state === "Succeeded");
  const why = task.stopping ?? { reason: "PartyFailed" as const, message: "" };
  if (!succeeded) {
    const forParty = why.reason === "PartyFailed" ? partnerFailed(why.message) : why;
    for (const party of task.parties) {
      if (party.state === "Pending" || party.state === "Running") moveParty(draft, index, party, "Failed", { ...forParty, now });
    }
  }
  const closed = { live: false, stopping: null, deadline: null } as const;
  if (succeeded) moveTask(draft, draft.task(index), "Succeeded", { reason: "None", message: "", now }, { ...closed, progress: 1 });
  else moveTask(draft, draft.task(index), "Failed", { ...why, now }, closed);
  const critical = !succeeded && !task.definition.tolerable ? 1 : 0;
  draft.count({ live: -1, succeeded: succeeded ? 1 : 0, failed: succeeded ? 0 : 1, criticalFailed: critical });
  if (succeeded) releaseDependents(draft, task, now);
}

function releaseDependents(draft: JobDraft, task: Task, now: Instant): void {
  for (const index of task.dependents) {
    const dependent = draft.task(index);
    const next = draft.setTask(index, { waitingOn: dependent.waitingOn - 1 });
    if (next.waitingOn > 0) continue;
    draft.count({ ready: 1 });
    if (next.state === "Pending") draft.setTask(index, { reason: "WaitingSlot", message: "", since: now });
  }
}

/** Why a party that did nothing wrong is Failed. */
export function partnerFailed(because: string): { reason: Reason; message: string } {
  return { reason: "PartnerFailed", message: `stopped: ${because}` };
}
