/**
 * A job as this API shows it. What other surfaces do not know of, its type, cube, segment and project, is read from the
 * job's custom fields; docs/kylin-api.md lists them with what stands in where they are missing.
 */

import { actorName, type Instant, type Job, type JobView } from "../../core/job.js";
import { durationMs, FLOW_FIELD, shownStatus, type ShownStatus } from "../../core/list.js";
import { JOB_STATUS, type JobStatus } from "./states.js";
import { seconds, type Step, type StepObject, stepObject, stepsOf, waitedMs } from "./steps.js";

export const CUSTOM_FIELDS = {
  type: "kylin.type",
  project: "kylin.project",
  cube: "kylin.cube",
  cubeTitle: "kylin.display-cube-name",
  segment: "kylin.segment",
  segmentName: "kylin.segment-name",
  flow: FLOW_FIELD,
} as const;

const TYPES = ["BUILD", "MERGE", "REFRESH", "CHECKPOINT", "OPTIMIZE", "TABLE_SAMPLING"] as const;
export type JobType = (typeof TYPES)[number];

export interface JobObject {
  readonly uuid: string;
  readonly last_modified: number;
  readonly version: string;
  readonly name: string;
  readonly projectName: string;
  readonly type: JobType;
  readonly duration: number;
  readonly related_cube: string;
  readonly display_cube_name: string;
  readonly related_segment: string | null;
  readonly related_segment_name: string | null;
  readonly exec_start_time: number;
  readonly exec_end_time: number;
  readonly exec_interrupt_time: number;
  readonly mr_waiting: number;
  readonly steps: readonly StepObject[];
  readonly submitter: string;
  readonly job_status: JobStatus;
  readonly progress: number;
  readonly build_instance: string;
}

export interface Showing {
  readonly now: Instant;
  /** The product's. */
  readonly version: string;
}

export function jobObject(view: JobView, { now, version }: Showing): JobObject {
  const { job } = view;
  const shown = shownStatus(job);
  const steps = stepsOf(view, shown);
  const end = endOf(job, shown);
  const cube = cubeOf(job);
  return {
    uuid: job.jobId,
    last_modified: Math.max(job.updatedAt, job.since),
    version,
    name: job.jobId,
    projectName: field(job, "project") ?? "",
    type: typeOf(field(job, "type")),
    duration: seconds(durationMs(job, end ?? now)),
    related_cube: cube,
    display_cube_name: field(job, "cubeTitle") ?? cube,
    related_segment: field(job, "segment") ?? null,
    related_segment_name: field(job, "segmentName") ?? null,
    exec_start_time: job.startedAt ?? 0,
    exec_end_time: end ?? 0,
    exec_interrupt_time: job.interruptedMs,
    mr_waiting: seconds(waitingOf(steps, now)),
    steps: steps.map((step) => stepObject(step, now)),
    submitter: actorName(job.createdBy),
    job_status: JOB_STATUS[shown],
    progress: progressOf(steps),
    build_instance: latestRunner(steps),
  };
}

/** What the job is about: its cube, else the flow that it belongs to, else itself. */
export function cubeOf(job: Job): string {
  return field(job, "cube") ?? field(job, "flow") ?? job.jobId;
}

function field(job: Job, name: keyof typeof CUSTOM_FIELDS): string | undefined {
  const key = CUSTOM_FIELDS[name];
  // An empty one says nothing.
  return (Object.hasOwn(job.customFields, key) && job.customFields[key]) || undefined;
}

function typeOf(text: string | undefined): JobType {
  const upper = text?.toUpperCase();
  return TYPES.find((type) => type === upper) ?? "BUILD";
}

/** A job that is to end has ended for this API when that was asked for. */
function endOf(job: Job, shown: ShownStatus): Instant | null {
  if (job.wanted) return job.wanted.since;
  return shown === "Stopped" ? job.since : job.endedAt;
}

/** Of the finished steps before the first that is not. */
function waitingOf(steps: readonly Step[], now: Instant): number {
  const firstOpen = steps.findIndex((step) => step.status !== "FINISHED");
  const finished = firstOpen < 0 ? steps : steps.slice(0, firstOpen);
  return finished.reduce((sum, step) => sum + waitedMs(step.task, now), 0);
}

/** Percent, not rounded. */
function progressOf(steps: readonly Step[]): number {
  if (steps.length === 0) return 0;
  return (100 * steps.filter((step) => step.status === "FINISHED").length) / steps.length;
}

function latestRunner(steps: readonly Step[]): string {
  let latest: Step["task"] | undefined;
  for (const { task } of steps) {
    if (task.runner !== null && (task.createdAt ?? 0) >= (latest?.createdAt ?? 0)) latest = task;
  }
  return latest?.runner ?? "unknown";
}
