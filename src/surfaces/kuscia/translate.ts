/** Jobs between the wire and the engine, both ways (Kuscia Job API, messages of job.proto). */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CommandRecordSchema,
  CreateJobRequest,
  JobState_State,
  JobStatusDetailSchema,
  JobStatusSchema,
  Party as WireParty,
  PartySchema,
  PartyStatusSchema,
  QueryJobResponseDataSchema,
  RetryPolicy as WireRetry,
  StateReasonSchema,
  Task as WireTask,
  TaskConfigSchema,
  TaskStatusSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { invalid, quoted } from "../../core/error.js";
import {
  type CommandRecord,
  DEFAULT_SCHEDULE,
  type Instant,
  type Job,
  type JobDefinition,
  type JobRecord,
  type JobState,
  type JobView,
  NO_RETRY,
  type Party,
  type PartyDefinition,
  type Reason,
  type RetryPolicy,
  SCHEDULE_MODES,
  type ScheduleMode,
  type Task,
  type TaskDefinition,
  type TaskRequest,
  type TaskState,
} from "../../core/job.js";

type StateName = keyof typeof JobState_State;

export const JOB_STATE_NAMES = {
  AwaitingApproval: "AwaitingApproval",
  Pending: "Pending",
  Running: "Running",
  Suspended: "Suspended",
  Succeeded: "Succeeded",
  Failed: "Failed",
  Cancelled: "Cancelled",
  ApprovalReject: "ApprovalReject",
} as const satisfies Record<JobState, StateName>;

export const TASK_STATE_NAMES = {
  Pending: "Pending",
  Running: "Running",
  Succeeded: "Succeeded",
  Failed: "Failed",
} as const satisfies Record<TaskState, StateName>;

/** In which states err_msg says why. In the others a message is about waiting, which err_msg is not for. */
const EXPLAINED = {
  AwaitingApproval: false,
  Pending: false,
  Running: false,
  Suspended: false,
  Succeeded: false,
  Failed: true,
  Cancelled: true,
  ApprovalReject: true,
} as const satisfies Record<JobState, boolean>;

/** A job as it was asked for. Nothing is checked here but words that the engine has no place for. */
export function definitionFromRequest(request: CreateJobRequest): JobDefinition {
  return {
    jobId: request.jobId,
    initiator: request.initiator,
    maxParallelism: request.maxParallelism,
    scheduleMode: scheduleModeFromWire(request.scheduleMode),
    customFields: request.customFields,
    tasks: request.tasks.map(taskFromWire),
  };
}

/** Kuscia's own API stores BestEffort, so that is what silence means. */
function scheduleModeFromWire(text: string): ScheduleMode {
  const mode = text === "" ? "BestEffort" : SCHEDULE_MODES.find((each) => each === text);
  if (!mode) throw invalid("schedule_mode", `must be ${SCHEDULE_MODES.join(" or ")}, got ${quoted(text)}`);
  return mode;
}

function taskFromWire(task: WireTask): TaskRequest {
  return {
    alias: task.alias,
    taskId: task.taskId,
    appImage: task.appImage,
    parties: task.parties.map(partyFromWire),
    dependencies: task.dependencies,
    inputConfig: task.taskInputConfig,
    priority: task.priority,
    tolerable: task.tolerable,
    schedule: task.scheduleConfig
      ? {
          taskTimeoutSeconds: task.scheduleConfig.taskTimeoutSeconds,
          resourceReservedSeconds: task.scheduleConfig.resourceReservedSeconds,
          resourceReallocationIntervalSeconds: task.scheduleConfig.resourceReallocationIntervalSeconds,
        }
      : null,
    retry: task.retry ? retryFromWire(task.retry) : NO_RETRY,
    runTimeoutSeconds: task.runTimeoutSeconds,
  };
}

function retryFromWire(retry: WireRetry): RetryPolicy {
  return { maxAttempts: retry.maxAttempts === 0 ? 1 : retry.maxAttempts, backoffSeconds: retry.backoffSeconds };
}

function partyFromWire(party: WireParty): PartyDefinition {
  const asked = party.resources;
  return {
    domain: party.domainId,
    role: party.role,
    resources: asked ? { cpu: asked.cpu, memory: asked.memory, bandwidth: asked.bandwidth } : null,
    bandwidthLimits: party.bandwidthLimits.map((limit) => ({
      destination: limit.destinationId,
      kbps: limit.limitKbps.toString(),
    })),
  };
}

/** The answer of QueryJob: definition, status, and the commands that took effect. */
export function queryDataFromRecord(record: JobRecord): MessageInitShape<typeof QueryJobResponseDataSchema> {
  const { job, tasks } = record;
  return {
    jobId: job.jobId,
    initiator: job.initiator,
    maxParallelism: job.maxParallelism,
    tasks: tasks.map((task) => taskConfigFromDefinition(task.definition, record.inputs[task.index] ?? "")),
    status: statusDetailFromView(record),
    customFields: { ...job.customFields },
    scheduleMode: job.scheduleMode,
    commandHistory: record.commands.map(wireFromCommand),
    contentHash: job.contentHash,
  };
}

function wireFromCommand({ verb, actor, reason, time, result }: CommandRecord): MessageInitShape<typeof CommandRecordSchema> {
  const { domain, role, credential = "" } = actor;
  return { command: verb, domainId: domain ?? "", role, reason, time: timeFromInstant(time), result, credential };
}

/** A job's name and status, as batch queries and watch frames show it. */
export function jobStatusFromView(view: JobView): MessageInitShape<typeof JobStatusSchema> {
  return { jobId: view.job.jobId, status: statusDetailFromView(view) };
}

function taskConfigFromDefinition(task: TaskDefinition, inputConfig: string): MessageInitShape<typeof TaskConfigSchema> {
  return {
    appImage: task.appImage,
    parties: task.parties.map(partyFromDefinition),
    alias: task.alias,
    taskId: task.taskId,
    dependencies: [...task.dependencies],
    taskInputConfig: inputConfig,
    priority: task.priority,
    // The numbers that hold, also where none were asked for; what was asked for is what a repeat is compared with.
    scheduleConfig: { ...(task.schedule ?? DEFAULT_SCHEDULE) },
    tolerable: task.tolerable,
    ...(task.retry.maxAttempts > 1 && { retry: { ...task.retry } }),
    runTimeoutSeconds: task.runTimeoutSeconds,
  };
}

function partyFromDefinition(party: PartyDefinition): MessageInitShape<typeof PartySchema> {
  return {
    domainId: party.domain,
    role: party.role,
    ...(party.resources && { resources: { ...party.resources } }),
    bandwidthLimits: party.bandwidthLimits.map((limit) => ({
      destinationId: limit.destination,
      limitKbps: BigInt(limit.kbps),
    })),
  };
}

function statusDetailFromView({ job, tasks }: JobView): MessageInitShape<typeof JobStatusDetailSchema> {
  // By name: the store does not keep an order of domains.
  const domains = Object.entries(job.domains).toSorted(([one], [other]) => (one < other ? -1 : 1));
  const state: JobState = job.state;
  return {
    state: JOB_STATE_NAMES[state],
    errMsg: EXPLAINED[state] ? job.message : "",
    createTime: timeFromInstant(job.createdAt),
    startTime: timeFromInstant(job.startedAt),
    endTime: timeFromInstant(job.endedAt),
    tasks: tasks.map((task) => taskStatusFromTask(task, tasks)),
    reason: wireFromReason(job, job.state === "AwaitingApproval" ? undecided(job) : []),
    stageStatusList: domains.map(([domainId, { stage }]) => ({ domainId, state: stage })),
    approveStatusList: domains.flatMap(([domainId, { approval }]) =>
      approval === "Waiting" ? [] : [{ domainId, state: approval }],
    ),
  };
}

function undecided(job: Job): string[] {
  return Object.keys(job.domains).filter((domain) => job.domains[domain]?.approval === "Waiting");
}

/** Aliases of the dependencies that have not Succeeded. */
function openDependencies(task: Task, tasks: readonly Task[]): string[] {
  if (task.reason !== "WaitingDependency") return [];
  const done = new Set(tasks.filter((other) => other.state === "Succeeded").map((other) => other.definition.alias));
  return task.definition.dependencies.filter((alias) => !done.has(alias));
}

function wireFromReason(
  { reason, message, since }: { readonly reason: Reason; readonly message: string; readonly since: Instant },
  waitsFor: readonly string[] = [],
): MessageInitShape<typeof StateReasonSchema> {
  return { reason: reason === "None" ? "" : reason, message, since: timeFromInstant(since), waitsFor: [...waitsFor] };
}

function taskStatusFromTask(task: Task, tasks: readonly Task[]): MessageInitShape<typeof TaskStatusSchema> {
  const state: TaskState = task.state;
  return {
    taskId: task.definition.taskId,
    state: TASK_STATE_NAMES[state],
    errMsg: explanation(task),
    createTime: timeFromInstant(task.createdAt),
    startTime: timeFromInstant(task.startedAt),
    endTime: timeFromInstant(task.endedAt),
    // Kuscia shows a party from the moment that its task is scheduled.
    parties: task.attempt === 0 ? [] : partyStatuses(task.parties),
    alias: task.definition.alias,
    progress: task.progress,
    reason: wireFromReason(task, openDependencies(task, tasks)),
    attempt: task.attempt,
  };
}

/** One entry per domain: the wire has no room for roles. */
function partyStatuses(parties: readonly Party[]): MessageInitShape<typeof PartyStatusSchema>[] {
  const domains = [...new Set(parties.map((party) => party.domain))];
  return domains.map((domainId) => {
    const roles = parties.filter((party) => party.domain === domainId);
    // Of several roles, the one whose state the entry shows.
    const merged = mergedState(roles.map((party) => party.state));
    const telling = roles.find((party) => party.state === merged) ?? roles[0];
    return {
      domainId,
      state: TASK_STATE_NAMES[merged],
      errMsg: roles.map(explanation).filter(Boolean).join("; "),
      ...(telling && { reason: wireFromReason(telling) }),
      endpoints: roles
        .flatMap((party) => party.endpoints)
        .filter((endpoint) => endpoint.scope !== "Local")
        .map((endpoint) => ({ ...endpoint })),
    };
  });
}

function mergedState(states: readonly TaskState[]): TaskState {
  if (states.includes("Failed")) return "Failed";
  if (states.includes("Running")) return "Running";
  return states.every((state) => state === "Succeeded") ? "Succeeded" : "Pending";
}

function explanation({ state, message }: { readonly state: TaskState; readonly message: string }): string {
  return state === "Failed" ? message : "";
}

/** RFC 3339, UTC, whole seconds; empty where there is none. */
export function timeFromInstant(instant: Instant | null): string {
  return instant === null ? "" : new Date(instant).toISOString().replace(/\.\d+Z$/, "Z");
}
