/** Jobs and their history from the engine to the wire (messages of muster/v1/jobs.proto). */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EventSchema, JobSchema, PartySchema, TaskSchema } from "../../../gen/muster/v1/jobs_pb.js";
import { actorName, type Instant, type Job, type JobRecord, type Party, type Task } from "../../core/job.js";
import { durationMs, type EventPage, shownStatus } from "../../core/list.js";

type WireJob = MessageInitShape<typeof JobSchema>;

export function wireFromJob(job: Job, now: Instant) {
  const { total, live, succeeded, failed } = job.counts;
  return {
    uid: job.uid,
    jobId: job.jobId,
    initiator: job.initiator,
    state: job.state,
    status: shownStatus(job),
    reason: job.reason,
    message: job.message,
    since: timestampFromMs(job.since),
    wanted: job.wanted?.outcome ?? "",
    domains: Object.entries(job.domains)
      .map(([domainId, status]) => ({ domainId, ...status }))
      .sort((a, b) => (a.domainId < b.domainId ? -1 : 1)),
    maxParallelism: job.maxParallelism,
    scheduleMode: job.scheduleMode,
    customFields: { ...job.customFields },
    surface: job.surface,
    createdBy: actorName(job.createdBy),
    contentHash: job.contentHash,
    createTime: timestampFromMs(job.createdAt),
    updateTime: timestampFromMs(job.updatedAt),
    ...timeOf("startTime", job.startedAt),
    ...timeOf("endTime", job.endedAt),
    duration: durationFromMs(durationMs(job, now)),
    counts: { total, live, succeeded, failed },
  } satisfies WireJob;
}

export function wireFromRecord({ job, tasks, inputs, commands }: JobRecord, now: Instant): WireJob {
  return {
    ...wireFromJob(job, now),
    tasks: tasks.map((task, index) => wireFromTask(task, inputs[index] ?? "")),
    commands: commands.map(({ verb, actor, reason, time, result }) => ({
      verb,
      actor: actorName(actor),
      reason,
      time: timestampFromMs(time),
      result,
    })),
  };
}

function wireFromTask(task: Task, inputConfig: string): MessageInitShape<typeof TaskSchema> {
  const { alias, taskId, appImage, dependencies, priority, tolerable } = task.definition;
  return {
    alias,
    taskId,
    appImage,
    dependencies: [...dependencies],
    priority,
    tolerable,
    state: task.state,
    reason: task.reason,
    message: task.message,
    since: timestampFromMs(task.since),
    ...timeOf("startTime", task.startedAt),
    ...timeOf("endTime", task.endedAt),
    progress: task.progress,
    attempt: task.attempt,
    parties: task.parties.map(wireFromParty),
    inputConfig,
  };
}

function wireFromParty({ domain, role, state, reason, message, endedAt, replicas }: Party): MessageInitShape<typeof PartySchema> {
  return { domainId: domain, role, state, reason, message, ...timeOf("endTime", endedAt), replicas };
}

export function wireFromEvent({ revision, event }: EventPage["events"][number]): MessageInitShape<typeof EventSchema> {
  return {
    revision,
    kind: event.kind,
    time: timestampFromMs(event.time),
    actor: actorName(event.actor),
    taskAlias: event.task ?? "",
    attempt: event.attempt ?? 0,
    domainId: event.domain ?? "",
    role: event.role ?? "",
    from: event.from ?? "",
    to: event.to ?? "",
    reason: event.reason ?? "",
    message: event.message ?? "",
    verb: event.verb ?? "",
    ...(event.progress !== undefined && { progress: event.progress }),
  };
}

function timeOf<Name extends string>(name: Name, at: Instant | null): { readonly [name in Name]?: Timestamp } {
  // The literal has the name that the type says, which the compiler cannot see of a computed key.
  return (at === null ? {} : { [name]: timestampFromMs(at) }) as { readonly [name in Name]?: Timestamp };
}
