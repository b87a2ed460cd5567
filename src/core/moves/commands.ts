/**
 * Moves that a caller asks for. Whether the caller may is decided before (access rules); here it is whether the job can.
 * Rules: `COMMAND_RULES`; while an end is under way the stronger wish replaces the weaker (Delete > Cancel > Stop >
 * Suspend), the same again changes nothing.
 */

import { JobError } from "../error.js";
import {
  type Actor,
  type Approval,
  actorName,
  type DomainStatus,
  type Instant,
  type Job,
  type JobState,
  OUTCOMES,
  type Outcome,
  type Reason,
  type Task,
  type Verb,
} from "../job.js";
import { type ShownStatus, shownStatus } from "../list.js";
import type { JobDraft } from "./draft.js";
import { endUnrun } from "./ending.js";
import { moveJob, moveTask, type Why } from "./move.js";
import { advance, setStage, want } from "./settle.js";
import { COMMAND_RULES, moved, OUTCOME_OF, type Rule, statesOf } from "./states.js";

/** What a command does by the status that is shown; a repeat answers success and changes nothing. */
export type ShownRules = Readonly<Record<ShownStatus, Exclude<Rule, "ifCause">>>;

export interface CommandInput {
  readonly actor: Actor;
  /** Free text of the caller, may be empty. */
  readonly reason: string;
  readonly now: Instant;
  /** States from which the calling surface allows the command at all; repeats are judged first. */
  readonly onlyFrom?: readonly JobState[];
  /** The calling surface's own table, judged before the engine's: by the status that it shows, repeats included. */
  readonly rules?: ShownRules;
}

export type CommandResult = "applied" | "repeated";

const REASON_OF = {
  Suspended: "Suspended",
  Failed: "Stopped",
  Cancelled: "Cancelled",
  Deleted: "None",
} as const satisfies Record<Outcome, Reason>;

const PARTICIPLE = {
  Suspended: "suspended",
  Failed: "stopped",
  Cancelled: "cancelled",
  Deleted: "deleted",
} as const satisfies Record<Outcome, string>;

/** `verb` as the caller would say it, e.g. `stop` or `reject`. */
function illegal(verb: string, job: Job, because: string, more: Readonly<Record<string, string>> = {}): JobError {
  return new JobError("IllegalMove", `cannot ${verb} job "${job.jobId}": ${because}`, {
    metadata: { job_id: job.jobId, state: job.state, ...more },
  });
}

function notIn(states: readonly JobState[], job: Job): string {
  const last = states.at(-1) ?? "";
  const others = states.slice(0, -1).join(", ");
  return `it is ${job.state} and must be ${others === "" ? last : `${others} or ${last}`}`;
}

export function command(draft: JobDraft, verb: Exclude<Verb, "Approve">, input: CommandInput): CommandResult {
  const { job } = draft;
  draft.requireWhole();
  const outcome = OUTCOME_OF[verb];
  if (input.rules) {
    const shown = shownStatus(job);
    const rule = input.rules[shown];
    if (rule === "repeat") return "repeated";
    if (rule === "refuse") throw illegal(verb.toLowerCase(), job, `it is ${shown}`, { shown });
  }
  const state: JobState = job.state;
  const allowed = statesOf(verb).filter((each) => input.onlyFrom?.includes(each) ?? true);
  const refusal = (because = notIn(allowed, job)): JobError => illegal(verb.toLowerCase(), job, because);
  if (job.wanted) {
    if (outcome === job.wanted.outcome) return "repeated";
    if (outcome === null || OUTCOMES.indexOf(outcome) < OUTCOMES.indexOf(job.wanted.outcome)) {
      throw refusal(`it is being ${PARTICIPLE[job.wanted.outcome]}`);
    }
  } else {
    const rule = COMMAND_RULES[state][verb];
    if (rule === "repeat" || (rule === "ifCause" && job.cause === verb)) return "repeated";
    if (rule !== "apply") throw refusal();
  }
  if (input.onlyFrom && !input.onlyFrom.includes(state)) throw refusal();
  draft.record({ verb, actor: input.actor, reason: input.reason, time: input.now, result: outcome ?? "Running" });
  draft.emit({ kind: "Commanded", time: input.now, actor: input.actor, verb, message: input.reason });
  if (outcome === null) restart(draft, input);
  else {
    want(draft, {
      outcome,
      reason: REASON_OF[outcome],
      message: sentence(PARTICIPLE[outcome], input),
      actor: input.actor,
      since: input.now,
    });
  }
  return "applied";
}

function sentence(participle: string, input: CommandInput): string {
  const by = `${participle} by ${actorName(input.actor)}`;
  return input.reason === "" ? by : `${by}: ${input.reason}`;
}

/** Every task that has not Succeeded runs again; those that have are kept. Times of the job's first run stay. */
function restart(draft: JobDraft, input: CommandInput): void {
  const { job } = draft;
  const aliasOf = new Map([...draft.tasks.values()].map((task) => [task.definition.alias, task]));
  let ready = 0;
  let succeeded = 0;
  for (const task of draft.tasks.values()) {
    if (task.state === "Succeeded") {
      succeeded += 1;
      continue;
    }
    const waitingOn = [...new Set(task.definition.dependencies)].filter((a) => aliasOf.get(a)?.state !== "Succeeded").length;
    if (waitingOn === 0) ready += 1;
    reset(draft, task, waitingOn, input);
  }
  draft.setJob({
    counts: { total: job.counts.total, live: 0, ready, succeeded, failed: 0, criticalFailed: 0 },
    begun: false,
    interruptedMs: job.interruptedMs + Math.max(0, input.now - (job.endedAt ?? job.since)),
  });
  const why = approvalWait(job.domains);
  moveJob(draft, why ? "AwaitingApproval" : "Running", { ...(why ?? NOTHING), now: input.now, actor: input.actor }, "Restart");
  setStage(draft, "Restart");
  advance(draft, input.now);
}

function reset(draft: JobDraft, task: Task, waitingOn: number, input: CommandInput): void {
  const why = { reason: waitingOn > 0 ? "WaitingDependency" : "WaitingSlot", message: "", now: input.now, actor: input.actor } as const;
  const fresh: Partial<Task> = {
    waitingOn,
    progress: 0,
    tries: 0,
    createdAt: null,
    startedAt: null,
    runner: null,
    parties: task.parties.map((party) => ({
      ...party,
      state: moved("Pending"),
      reason: why.reason,
      message: "",
      since: input.now,
      endedAt: null,
      endpoints: [],
    })),
  };
  if (task.state === "Failed") {
    const next = moveTask(draft, task, "Pending", why, fresh);
    draft.setTask(next.index, { startedAt: null });
  } else draft.setTask(task.index, { ...fresh, reason: why.reason, message: "", since: input.now });
}

const NOTHING = { reason: "None", message: "" } as const;

/** Why a job with these decisions cannot start yet; undefined where it can. */
export function approvalWait(
  domains: Readonly<Record<string, DomainStatus>>,
): { reason: "WaitingApproval"; message: string } | undefined {
  const waiting = Object.keys(domains).filter((domain) => domains[domain]?.approval === "Waiting");
  if (waiting.length === 0) return undefined;
  return { reason: "WaitingApproval", message: `waiting for approval by ${waiting.join(", ")}` };
}

export interface ApproveInput {
  readonly decision: Exclude<Approval, "Waiting">;
  /** The content that was decided about; absent = whatever the job holds, which never changes. */
  readonly contentHash?: string;
  readonly actor: Actor;
  readonly reason: string;
  readonly now: Instant;
}

/**
 * Records a decision for the caller's own domain, or for every waiting domain where the caller has none. The last
 * acceptance lets the job start, the first rejection ends it.
 */
export function approve(draft: JobDraft, input: ApproveInput): CommandResult {
  const { job } = draft;
  draft.requireWhole();
  // Under the same name there may be another job than the one that was read.
  if (input.contentHash !== undefined && input.contentHash !== job.contentHash) {
    throw illegal(WORD_OF[input.decision], job, "its content is not the one that was decided about (content_hash)");
  }
  const domains = decidingDomains(job, input.actor);
  const undecided = domains.filter((domain) => job.domains[domain]?.approval === "Waiting");
  const state: JobState = job.state;
  if (COMMAND_RULES[state].Approve !== "apply" || undecided.length === 0) {
    const decided = domains.filter((domain) => job.domains[domain]?.approval !== "Waiting");
    if (decided.length > 0 && decided.every((domain) => job.domains[domain]?.approval === input.decision)) return "repeated";
    // One rejection of several ended the job, whatever the others had said before.
    const rejected = decided.some((domain) => job.domains[domain]?.approval === "JobRejected");
    if (input.decision === "JobRejected" && rejected) return "repeated";
    throw illegal(WORD_OF[input.decision], job, whyUndecidable(job, input, domains, undecided.length > 0));
  }
  const next: Record<string, DomainStatus> = { ...job.domains };
  for (const domain of undecided) {
    const status = next[domain];
    if (status) next[domain] = { ...status, approval: input.decision };
  }
  draft.setJob({ domains: next });
  draft.record({ verb: "Approve", actor: input.actor, reason: input.reason, time: input.now, result: input.decision });
  for (const domain of undecided) {
    draft.emit({
      kind: "Commanded",
      time: input.now,
      actor: input.actor,
      verb: "Approve",
      domain,
      to: input.decision,
      message: input.reason,
    });
  }
  if (input.decision === "JobRejected") reject(draft, undecided, input);
  else if (Object.values(next).every((status) => status.approval === "JobAccepted")) start(draft, input.actor, input.now, "Approve");
  return "applied";
}

const WORD_OF = { JobAccepted: "approve", JobRejected: "reject" } as const satisfies Record<ApproveInput["decision"], string>;

/** `domains`: those that the caller decides for; `open`: some of them have not decided. */
function whyUndecidable(job: Job, { decision, actor }: ApproveInput, domains: readonly string[], open: boolean): string {
  if (domains.length === 0) return actor.domain === null ? "no domain has to approve it" : `domain "${actor.domain}" does not have to approve it`;
  if (open) return notIn(statesOf("Approve"), job);
  const otherwise = domains.filter((domain) => job.domains[domain]?.approval !== decision);
  const done = decision === "JobAccepted" ? "rejected" : "accepted";
  return `${otherwise.join(", ")} ${otherwise.length === 1 ? "has" : "have"} ${done} it already`;
}

function decidingDomains(job: Job, actor: Actor): string[] {
  const asked = Object.keys(job.domains).filter((domain) => job.domains[domain]?.asked);
  return actor.domain === null ? asked : asked.filter((domain) => domain === actor.domain);
}

function reject(draft: JobDraft, domains: readonly string[], input: ApproveInput): void {
  const by = `rejected by ${domains.join(", ")}`;
  const message = input.reason === "" ? by : `${by}: ${input.reason}`;
  endUnapproved(draft, { reason: "Rejected", message, now: input.now, actor: input.actor }, "Approve");
}

function endUnapproved(draft: JobDraft, why: Why, cause: Verb | null): void {
  for (const task of draft.tasks.values()) {
    endUnrun(draft, task, { ...why, reason: "NotRun", message: `not run: ${why.message}` });
  }
  moveJob(draft, "ApprovalReject", why, cause);
}

/** Ends a job that waits for approval since before `waitingSince`; any other is left as it is. */
export function expireApproval(draft: JobDraft, { waitingSince, now }: { waitingSince: Instant; now: Instant }): void {
  const { job } = draft;
  draft.requireWhole();
  if (job.state !== "AwaitingApproval" || job.wanted || job.since > waitingSince) return;
  const silent = Object.keys(job.domains).filter((domain) => job.domains[domain]?.approval === "Waiting");
  endUnapproved(draft, { reason: "ApprovalExpired", message: `not approved in time by ${silent.join(", ")}`, now }, null);
}

/** From admission to work: AwaitingApproval -> Pending -> Running, ready tasks are opened. */
export function start(draft: JobDraft, actor: Actor, now: Instant, cause: Verb | null): void {
  const why = { reason: "None", message: "", now, actor } as const;
  if (draft.job.state === "AwaitingApproval") moveJob(draft, "Pending", why, cause);
  moveJob(draft, "Running", why, cause);
  setStage(draft, "Start");
  advance(draft, now);
}
