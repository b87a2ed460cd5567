/** Jobs between the wire and the engine, both ways (Kuscia Job API, messages of job.proto). */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CreateJobRequest,
  JobState_State,
  JobStatusDetailSchema,
  JobStatusSchema,
  Party as WireParty,
  PartySchema,
  PartyStatusSchema,
  QueryJobResponseDataSchema,
  Task as WireTask,
  TaskConfigSchema,
  TaskStatusSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type {
  Instant,
  JobDefinition,
  JobState,
  JobView,
  Party,
  PartyDefinition,
  Task,
  TaskDefinition,
  TaskState,
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

/** A job as it was asked for; nothing is checked here. Kuscia's API offers no other mode than BestEffort. */
export function definitionFromRequest(request: CreateJobRequest): JobDefinition {
  return {
    jobId: request.jobId,
    initiator: request.initiator,
    maxParallelism: request.maxParallelism,
    scheduleMode: "BestEffort",
    customFields: request.customFields,
    tasks: request.tasks.map(taskFromWire),
  };
}

function taskFromWire(task: WireTask): TaskDefinition {
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
  };
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

/** The answer of QueryJob: definition and status. */
export function queryDataFromView(view: JobView): MessageInitShape<typeof QueryJobResponseDataSchema> {
  const { job, tasks } = view;
  return {
    jobId: job.jobId,
    initiator: job.initiator,
    maxParallelism: job.maxParallelism,
    tasks: tasks.map((task) => taskConfigFromDefinition(task.definition)),
    status: statusDetailFromView(view),
    customFields: { ...job.customFields },
  };
}

/** A job's name and status, as batch queries and watch frames show it. */
export function jobStatusFromView(view: JobView): MessageInitShape<typeof JobStatusSchema> {
  return { jobId: view.job.jobId, status: statusDetailFromView(view) };
}

function taskConfigFromDefinition(task: TaskDefinition): MessageInitShape<typeof TaskConfigSchema> {
  return {
    appImage: task.appImage,
    parties: task.parties.map(partyFromDefinition),
    alias: task.alias,
    taskId: task.taskId,
    dependencies: [...task.dependencies],
    taskInputConfig: task.inputConfig,
    priority: task.priority,
    ...(task.schedule && { scheduleConfig: { ...task.schedule } }),
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
    tasks: tasks.map(taskStatusFromTask),
    stageStatusList: domains.map(([domainId, { stage }]) => ({ domainId, state: stage })),
    approveStatusList: domains.flatMap(([domainId, { approval }]) =>
      approval === "Waiting" ? [] : [{ domainId, state: approval }],
    ),
  };
}

function taskStatusFromTask(task: Task): MessageInitShape<typeof TaskStatusSchema> {
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
  };
}

/** One entry per domain: the wire has no room for roles. */
function partyStatuses(parties: readonly Party[]): MessageInitShape<typeof PartyStatusSchema>[] {
  const domains = [...new Set(parties.map((party) => party.domain))];
  return domains.map((domainId) => {
    const roles = parties.filter((party) => party.domain === domainId);
    return {
      domainId,
      state: TASK_STATE_NAMES[mergedState(roles.map((party) => party.state))],
      errMsg: roles.map(explanation).filter(Boolean).join("; "),
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
