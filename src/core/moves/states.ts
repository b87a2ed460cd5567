/**
 * The state tables of jobs and tasks, and the one way to write a state. Sources: Kuscia Job API, job state machine and
 * command effects; where that leaves a command without effect it is refused here, and repeats answer success.
 *
 * docs/architecture.md prints these tables; a test compares.
 */

import { type AttemptState, JOB_STATES, type JobState, type Moved, type Outcome, type TaskState, type Verb } from "../job.js";

/** Where a job may go from each state. */
export const JOB_MOVES = {
  AwaitingApproval: ["Pending", "Suspended", "Failed", "Cancelled", "ApprovalReject"],
  Pending: ["Running", "Suspended", "Failed", "Cancelled"],
  Running: ["Suspended", "Succeeded", "Failed", "Cancelled"],
  Suspended: ["AwaitingApproval", "Running", "Failed", "Cancelled"],
  Succeeded: [],
  Failed: ["AwaitingApproval", "Running", "Cancelled"],
  Cancelled: [],
  ApprovalReject: [],
} as const satisfies Record<JobState, readonly JobState[]>;

/** Where a task or party may go. Back to Pending: a retry from Running, a Restart from Failed. */
export const TASK_MOVES = {
  Pending: ["Running", "Succeeded", "Failed"],
  Running: ["Pending", "Succeeded", "Failed"],
  Succeeded: [],
  Failed: ["Pending"],
} as const satisfies Record<TaskState, readonly TaskState[]>;

export const ATTEMPT_MOVES = {
  Starting: ["Running", "Succeeded", "Failed", "Lost"],
  Running: ["Succeeded", "Failed", "Lost"],
  Succeeded: [],
  Failed: [],
  Lost: [],
} as const satisfies Record<AttemptState, readonly AttemptState[]>;

/**
 * What a command does in a state.
 * apply   it takes effect
 * repeat  it caused this state already: success, nothing changes
 * ifCause `repeat` where this very command caused the state, else refused
 * refuse  it can have no effect: IllegalMove
 */
export type Rule = "apply" | "repeat" | "ifCause" | "refuse";

export const COMMAND_RULES = {
  AwaitingApproval: { Approve: "apply", Stop: "apply", Suspend: "apply", Restart: "ifCause", Cancel: "apply", Delete: "apply" },
  Pending: { Approve: "ifCause", Stop: "apply", Suspend: "apply", Restart: "ifCause", Cancel: "apply", Delete: "apply" },
  Running: { Approve: "ifCause", Stop: "apply", Suspend: "apply", Restart: "ifCause", Cancel: "apply", Delete: "apply" },
  Suspended: { Approve: "ifCause", Stop: "apply", Suspend: "repeat", Restart: "apply", Cancel: "apply", Delete: "apply" },
  Succeeded: { Approve: "ifCause", Stop: "refuse", Suspend: "refuse", Restart: "refuse", Cancel: "refuse", Delete: "apply" },
  Failed: { Approve: "ifCause", Stop: "ifCause", Suspend: "refuse", Restart: "apply", Cancel: "apply", Delete: "apply" },
  Cancelled: { Approve: "ifCause", Stop: "refuse", Suspend: "refuse", Restart: "refuse", Cancel: "repeat", Delete: "apply" },
  ApprovalReject: { Approve: "ifCause", Stop: "refuse", Suspend: "refuse", Restart: "refuse", Cancel: "refuse", Delete: "apply" },
} as const satisfies Record<JobState, Record<Verb, Rule>>;

/** The states in which the command takes effect. */
export function statesOf(verb: Verb): readonly JobState[] {
  return JOB_STATES.filter((state) => COMMAND_RULES[state][verb] === "apply");
}

/** The end that a command asks for; Restart and Approve ask for none. */
export const OUTCOME_OF = {
  Approve: null,
  Stop: "Failed",
  Suspend: "Suspended",
  Restart: null,
  Cancel: "Cancelled",
  Delete: "Deleted",
} as const satisfies Record<Verb, Outcome | null>;

/** Brands a state as written by a move. Only `core/moves` and the store's row reader call it. */
export function moved<S extends string>(state: S): Moved<S> {
  // The brand exists for the compiler only: the value is the plain string.
  return state as Moved<S>;
}
