/**
 * What a job is. A job is a DAG of tasks; each task is run by parties (domain + role); each party by one or more
 * attempts (one per replica). Values here are plain data; `state` is branded so that only the moves (and the store,
 * which reads back what moves wrote) can set it.
 */

/** Milliseconds since the epoch. */
export type Instant = number;

/** The state moves of a value go through `core/moves`; see `moved`. */
declare const movedBrand: unique symbol;
export type Moved<S extends string> = S & { readonly [movedBrand]: true };

export const JOB_STATES = [
  "AwaitingApproval",
  "Pending",
  "Running",
  "Suspended",
  "Succeeded",
  "Failed",
  "Cancelled",
  "ApprovalReject",
] as const;
export type JobState = (typeof JOB_STATES)[number];

/** States in which the job has an end time. Failed is terminal, though Restart and Cancel may still move it. */
const TERMINAL = {
  AwaitingApproval: false,
  Pending: false,
  Running: false,
  Suspended: false,
  Succeeded: true,
  Failed: true,
  Cancelled: true,
  ApprovalReject: true,
} as const satisfies Record<JobState, boolean>;

/** States of a task and of a party. */
export const TASK_STATES = ["Pending", "Running", "Succeeded", "Failed"] as const;
export type TaskState = (typeof TASK_STATES)[number];

export const ATTEMPT_STATES = ["Starting", "Running", "Succeeded", "Failed", "Lost"] as const;
export type AttemptState = (typeof ATTEMPT_STATES)[number];

const ATTEMPT_ENDED = {
  Starting: false,
  Running: false,
  Succeeded: true,
  Failed: true,
  Lost: true,
} as const satisfies Record<AttemptState, boolean>;

export function attemptEnded(attempt: { readonly state: AttemptState }): boolean {
  return ATTEMPT_ENDED[attempt.state];
}

export function jobEnded(job: { readonly state: JobState }): boolean {
  return TERMINAL[job.state];
}

/**
 * Why a job, task or party is in its state. `None` where the state says it all.
 * Waiting...: what it waits for. The rest: what ended it.
 */
export const REASONS = [
  "None",
  "WaitingApproval",
  "WaitingDependency",
  "WaitingSlot", // max_parallelism is used up
  "WaitingRunner", // ready, no runner has taken it yet
  "WaitingResources", // a runner that serves the domain has no room now
  "WaitingPeer", // another control plane has to answer
  "WaitingRetry", // the last try failed; the next one comes after a pause
  "Starting", // reserved, the processes are being started
  "Stopping", // an end is wanted; attempts have not all ended yet
  "Stopped", // by the Stop command
  "Suspended",
  "Cancelled",
  "Rejected", // an approval was refused
  "ApprovalExpired",
  "TaskFailed", // job: a critical task failed
  "PartyFailed", // task: one of its parties failed
  "PartnerFailed", // party: stopped since another party of the task failed
  "AppFailed", // the app ended with another exit code than 0, or by a signal
  "AppNotStarted", // the app could not be started at all
  "AttemptLost", // nobody knows how the app ended
  "SchedulingTimeout", // not started within task_timeout_seconds
  "RunTimeout", // ran longer than run_timeout_seconds
  "ImageUnknown",
  "NotRun", // task: the job ended before it was started
] as const;
export type Reason = (typeof REASONS)[number];

export const SCHEDULE_MODES = ["BestEffort", "Strict"] as const;
export type ScheduleMode = (typeof SCHEDULE_MODES)[number];

export const VERBS = ["Approve", "Stop", "Suspend", "Restart", "Cancel", "Delete"] as const;
export type Verb = (typeof VERBS)[number];

/** Who does something. `domain` is the caller's own domain; a master may have none. `system` is the engine itself. */
export interface Actor {
  readonly role: "master" | "domain" | "system";
  readonly domain: string | null;
  /** Name of the credential that was shown, e.g. `token:ci`; absent where none was asked for. */
  readonly credential?: string;
}

export const SYSTEM: Actor = { role: "system", domain: null };

/** The name of an actor as shown to people. */
export function actorName(actor: Actor): string {
  return actor.domain ?? actor.role;
}

export interface Resources {
  /** Kubernetes quantities; empty = not said. `bandwidth` is Mbps without a unit. */
  readonly cpu: string;
  readonly memory: string;
  readonly bandwidth: string;
}

export interface BandwidthLimit {
  readonly destination: string;
  /** KiB/s as a decimal string (64-bit). */
  readonly kbps: string;
}

export interface PartyDefinition {
  readonly domain: string;
  readonly role: string;
  readonly resources: Resources | null;
  readonly bandwidthLimits: readonly BandwidthLimit[];
}

export interface ScheduleConfig {
  /** Seconds a task may wait for its reservation; not a limit of run time. */
  readonly taskTimeoutSeconds: number;
  readonly resourceReservedSeconds: number;
  readonly resourceReallocationIntervalSeconds: number;
}

/** Numbers that apply where a task gives no schedule_config (Kuscia Job API, section 7.3 of its scheduling rules). */
export const DEFAULT_SCHEDULE: ScheduleConfig = {
  taskTimeoutSeconds: 300,
  resourceReservedSeconds: 30,
  resourceReallocationIntervalSeconds: 30,
};

/** How often a task is tried before it counts as failed. */
export interface RetryPolicy {
  /** Tries in all; 1 = no retry. A Restart of the job begins to count anew. */
  readonly maxAttempts: number;
  /** Pause before the second try, doubled before each further one, up to an hour. */
  readonly backoffSeconds: number;
}

export const NO_RETRY: RetryPolicy = { maxAttempts: 1, backoffSeconds: 0 };

export interface TaskDefinition {
  readonly alias: string;
  /** Globally unique among present jobs. */
  readonly taskId: string;
  readonly appImage: string;
  readonly parties: readonly PartyDefinition[];
  /** Aliases of this job's tasks. */
  readonly dependencies: readonly string[];
  readonly priority: number;
  /** A tolerable task's failure does not decide the job's result. */
  readonly tolerable: boolean;
  readonly schedule: ScheduleConfig | null;
  readonly retry: RetryPolicy;
  /** How long one try may run; 0 = without limit. */
  readonly runTimeoutSeconds: number;
}

/** A task as it is asked for. What its app is told may be large, so it is kept apart and read only where it is needed. */
export interface TaskRequest extends TaskDefinition {
  readonly inputConfig: string;
}

export interface JobDefinition {
  readonly jobId: string;
  readonly initiator: string;
  readonly maxParallelism: number;
  readonly scheduleMode: ScheduleMode;
  readonly customFields: Readonly<Record<string, string>>;
  readonly tasks: readonly TaskRequest[];
}

export const APPROVALS = ["Waiting", "JobAccepted", "JobRejected"] as const;
export type Approval = (typeof APPROVALS)[number];

export type StageVerb = "Create" | "Start" | "Restart" | "Stop" | "Cancel" | "Suspend";
export type Stage = `Job${StageVerb}Stage${"Succeeded" | "Failed"}`;

/** What one domain has decided about the job and which command it has carried out last. */
export interface DomainStatus {
  /** Whether the domain wants to decide itself; where false the acceptance is automatic. */
  readonly asked: boolean;
  readonly approval: Approval;
  readonly stage: Stage;
}

/** Ends that a job can be asked to take; ordered by strength, the stronger replaces the weaker. */
export const OUTCOMES = ["Suspended", "Failed", "Cancelled", "Deleted"] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** An end that was asked for and is carried out as soon as no attempt lives any more. */
export interface Wanted {
  readonly outcome: Outcome;
  readonly reason: Reason;
  readonly message: string;
  readonly actor: Actor;
  readonly since: Instant;
}

/** Numbers that let a move of one task decide about the job without reading the other tasks. */
export interface Counts {
  readonly total: number;
  /** Tasks with an open attempt number: scheduled, being started, running or being stopped. */
  readonly live: number;
  /** Tasks that could start now. */
  readonly ready: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Failed tasks that are not tolerable. */
  readonly criticalFailed: number;
}

export interface Job {
  /** Never reused; everything inside is keyed by it. */
  readonly uid: string;
  /** Unique among present jobs. */
  readonly jobId: string;
  /** Compare-and-set: +1 per saved change. */
  readonly version: number;
  readonly initiator: string;
  /** Every domain that takes part, the initiator included. */
  readonly domains: Readonly<Record<string, DomainStatus>>;
  readonly maxParallelism: number;
  readonly scheduleMode: ScheduleMode;
  readonly customFields: Readonly<Record<string, string>>;
  /** Of the definition after defaults, without generated ids. */
  readonly contentHash: string;
  /** Which language made it, e.g. `kuscia`. */
  readonly surface: string;
  readonly createdBy: Actor;
  readonly state: Moved<JobState>;
  readonly reason: Reason;
  /** One true sentence, empty where there is nothing to say. */
  readonly message: string;
  /** Since when state and reason hold. */
  readonly since: Instant;
  readonly wanted: Wanted | null;
  /** The command that caused the present state, null where the engine did. */
  readonly cause: Verb | null;
  readonly counts: Counts;
  /** Whether an attempt has begun since the job was made or last restarted. */
  readonly begun: boolean;
  readonly createdAt: Instant;
  /** When it was last saved, as it was read: to the second where nothing but its tasks changed. */
  readonly updatedAt: Instant;
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
  /** Milliseconds spent suspended, or failed before a restart. */
  readonly interruptedMs: number;
}

export interface Endpoint {
  readonly portName: string;
  readonly scope: string;
  /** `host:port`. */
  readonly endpoint: string;
}

export interface Party {
  readonly domain: string;
  readonly role: string;
  readonly state: Moved<TaskState>;
  readonly reason: Reason;
  readonly message: string;
  readonly since: Instant;
  readonly endedAt: Instant | null;
  /** Instances of the party, each an attempt of its own. */
  readonly replicas: number;
  readonly endpoints: readonly Endpoint[];
}

export interface Task {
  readonly index: number;
  readonly definition: TaskDefinition;
  /** Digest of the app image's content at submit. */
  readonly imageDigest: string;
  /** Dependencies that have not Succeeded yet. */
  readonly waitingOn: number;
  /** Indices of the tasks that depend on this one. */
  readonly dependents: readonly number[];
  readonly state: Moved<TaskState>;
  readonly reason: Reason;
  readonly message: string;
  readonly since: Instant;
  /** When it was first made ready to run in the present round. */
  readonly createdAt: Instant | null;
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
  /** In [0, 1], as the app reports it. */
  readonly progress: number;
  /** Number of the present or last attempt; 0 = never scheduled. Never reused. */
  readonly attempt: number;
  /** Tries since the job was made or last restarted. */
  readonly tries: number;
  /** The attempt number is open: counts against max_parallelism. */
  readonly live: boolean;
  /** The runner that holds the reservation. */
  readonly runner: string | null;
  /** Set when the attempts must end: why. */
  readonly stopping: { readonly reason: Reason; readonly message: string } | null;
  /** Not to be claimed before; set between two tries. */
  readonly notBefore: Instant | null;
  /** When waiting for a reservation ends in SchedulingTimeout, or, once it runs, the try in RunTimeout. */
  readonly deadline: Instant | null;
  readonly parties: readonly Party[];
}

export interface Attempt {
  readonly uid: string;
  readonly jobUid: string;
  readonly taskIndex: number;
  readonly number: number;
  readonly domain: string;
  readonly role: string;
  readonly replica: number;
  readonly runner: string;
  readonly state: Moved<AttemptState>;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly message: string;
  readonly createdAt: Instant;
  readonly startedAt: Instant | null;
  readonly endedAt: Instant | null;
}

/** A job with all its tasks in definition order: what every reader gets. */
export interface JobView {
  readonly job: Job;
  readonly tasks: readonly Task[];
}

export const EVENT_KINDS = [
  "JobCreated",
  "JobMoved",
  "JobDeleted",
  "TaskMoved",
  "PartyMoved",
  "Progressed",
  "Commanded",
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** One line of a job's history: a delta of constant size. The store adds the revision. */
export interface JobEvent {
  readonly kind: EventKind;
  readonly time: Instant;
  readonly actor: Actor;
  /** Alias of the task, where the event is about one. */
  readonly task?: string;
  readonly attempt?: number;
  readonly domain?: string;
  readonly role?: string;
  readonly from?: string;
  readonly to?: string;
  readonly reason?: Reason;
  readonly message?: string;
  readonly verb?: Verb;
  readonly progress?: number;
}

/** A command that took effect. */
export interface CommandRecord {
  readonly verb: Verb;
  readonly actor: Actor;
  readonly reason: string;
  readonly time: Instant;
  /** What it led to, e.g. `Suspended`, or the decision of an Approve. */
  readonly result: string;
}

/** A job with what was done to it. */
export interface JobRecord extends JobView {
  /** Commands that took effect, oldest first. */
  readonly commands: readonly CommandRecord[];
  /** What each task's app is told, in definition order. */
  readonly inputs: readonly string[];
}
