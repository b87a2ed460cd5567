/**
 * How a try of a task begins and ends. It is marked first (`stopping`), ends when its last attempt has, and is then
 * tried again, or frees its slot and its dependents. What that means for the job is decided in `settle`.
 */

import { DEFAULT_SCHEDULE, type Instant, type Reason, type Task } from "../job.js";
import type { JobDraft } from "./draft.js";
import { explainTask, moveParty, moveTask, type Why } from "./move.js";
import { moved } from "./states.js";

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

/** Opens the task's next attempt number: from here on it counts against max_parallelism and a runner may claim it. */
export function openAttempt(draft: JobDraft, index: number, why: Why, notBefore: Instant | null = null): void {
  const task = draft.task(index);
  const timeout = task.definition.schedule ?? DEFAULT_SCHEDULE;
  const fresh: Partial<Task> = {
    attempt: task.attempt + 1,
    tries: task.tries + 1,
    live: true,
    runner: null,
    stopping: null,
    notBefore,
    deadline: (notBefore ?? why.now) + timeout.taskTimeoutSeconds * 1000,
    createdAt: why.now,
    startedAt: null,
    progress: 0,
    parties: task.parties.map((party) => ({
      ...party,
      state: moved("Pending"),
      reason: why.reason,
      message: "",
      since: why.now,
      endedAt: null,
      endpoints: [],
    })),
  };
  if (task.state === "Pending") {
    draft.setTask(index, fresh);
    explainTask(draft, draft.task(index), why);
  } else moveTask(draft, task, "Pending", why, fresh);
}

/** Ends that another try may mend. A command, or a task that nobody could start, is none of them. */
const RETRIED: ReadonlySet<Reason> = new Set<Reason>(["PartyFailed", "RunTimeout"]);
const LONGEST_PAUSE_MS = 3_600_000;

/** Opens the next try where the task has one left. The slot is kept meanwhile. */
function retry(draft: JobDraft, task: Task, why: { reason: Reason; message: string }, now: Instant): boolean {
  const { maxAttempts, backoffSeconds } = task.definition.retry;
  if (task.tries >= maxAttempts || !RETRIED.has(why.reason) || draft.job.wanted) return false;
  const pause = Math.min(backoffSeconds * 1000 * 2 ** (task.tries - 1), LONGEST_PAUSE_MS);
  const message = `try ${task.tries} of ${maxAttempts} failed: ${why.message}`;
  openAttempt(draft, task.index, { reason: "WaitingRetry", message, now }, now + pause);
  return true;
}

/** The last attempt has ended, or there was none. The job is brought on by the caller (`advance`). */
export function endTask(draft: JobDraft, index: number, now: Instant): void {
  const task = draft.task(index);
  const succeeded = task.parties.every((party) => party.state === "Succeeded");
  const why = task.stopping ?? { reason: "PartyFailed" as const, message: "" };
  if (!succeeded && retry(draft, task, why, now)) return;
  if (!succeeded) {
    const forParty = why.reason === "PartyFailed" ? partnerFailed(why.message) : why;
    for (const party of task.parties) {
      if (party.state === "Pending" || party.state === "Running") moveParty(draft, index, party, "Failed", { ...forParty, now });
    }
  }
  const closed = { live: false, stopping: null, notBefore: null, deadline: null } as const;
  if (succeeded) moveTask(draft, draft.task(index), "Succeeded", { reason: "None", message: "", now }, { ...closed, progress: 1 });
  else moveTask(draft, draft.task(index), "Failed", { ...why, now }, closed);
  const critical = !succeeded && !task.definition.tolerable ? 1 : 0;
  draft.count({ live: -1, succeeded: succeeded ? 1 : 0, failed: succeeded ? 0 : 1, criticalFailed: critical });
  if (succeeded) releaseDependents(draft, task, now);
}

/** A task that will not be run ends with its parties; what it waited for matters no more. */
export function endUnrun(draft: JobDraft, task: Task, why: Why): void {
  const parties = task.parties.map((party) => ({
    ...party,
    state: moved("Failed" as const),
    reason: why.reason,
    message: why.message,
    since: why.now,
    endedAt: why.now,
  }));
  moveTask(draft, task, "Failed", why, { parties });
  const ready = task.waitingOn === 0 ? -1 : 0;
  draft.count({ ready, failed: 1, criticalFailed: task.definition.tolerable ? 0 : 1 });
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
