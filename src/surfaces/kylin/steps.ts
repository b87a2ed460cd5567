/** The tasks of a job as a sequence of steps: each after all that it depends on, otherwise as the job was written. */

import { inDependencyOrder } from "../../core/dag.js";
import type { Instant, JobView, Reason, Task } from "../../core/job.js";
import type { ShownStatus } from "../../core/list.js";
import type { JobStatus } from "./states.js";

/** A step is shown in the words of a job. */
export type StepStatus = JobStatus;

export interface Step {
  readonly id: string;
  readonly position: number;
  readonly task: Task;
  readonly status: StepStatus;
}

export interface StepObject {
  readonly id: string;
  readonly name: string;
  readonly sequence_id: number;
  readonly exec_cmd: string;
  readonly interrupt_cmd: null;
  readonly exec_start_time: number;
  readonly exec_end_time: number;
  readonly exec_wait_time: number;
  readonly step_status: StepStatus;
  readonly cmd_type: "SHELL_CMD";
  readonly info: Readonly<Record<string, string>>;
  readonly run_async: false;
  readonly interruptCmd: null;
}

export function stepsOf(view: JobView, shown: ShownStatus): readonly Step[] {
  const tasks = inDependencyOrder(view.tasks);
  const statuses = tasks.map((task) => statusOf(task, shown));
  // A job that was stopped or ended between two steps shows that at the next one.
  const halted = shown === "Stopped" ? "STOPPED" : shown === "Error" ? "ERROR" : undefined;
  const next = statuses.indexOf("PENDING");
  if (halted && next >= 0 && !statuses.includes(halted)) statuses[next] = halted;
  return tasks.map((task, position) => ({
    id: stepId(view.job.jobId, position),
    position,
    task,
    status: statuses[position] ?? "PENDING",
  }));
}

/** Two digits, more from the hundredth step on. */
export function stepId(jobId: string, position: number): string {
  return `${jobId}-${String(position).padStart(2, "0")}`;
}

function statusOf(task: Task, shown: ShownStatus): StepStatus {
  if (task.state === "Succeeded") return "FINISHED";
  // Whoever discards a job discards all that is not done.
  if (shown === "Discarded") return "DISCARDED";
  const why: Reason = task.stopping?.reason ?? task.reason;
  const halts = shown === "Stopped" || shown === "Error";
  if (task.state === "Failed" || (halts && task.stopping)) {
    if (why === "NotRun") return "PENDING";
    return shown === "Stopped" && why === "Suspended" ? "STOPPED" : "ERROR";
  }
  return task.state === "Running" ? "RUNNING" : "PENDING";
}

/** Milliseconds between being ready and being started; so far where it still waits, 0 where it was never ready. */
export function waitedMs({ createdAt, startedAt, endedAt }: Task, now: Instant): number {
  return createdAt === null ? 0 : Math.max(0, (startedAt ?? endedAt ?? now) - createdAt);
}

export function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}

export function stepObject({ id, position, task, status }: Step, now: Instant): StepObject {
  return {
    id,
    name: task.definition.alias,
    sequence_id: position,
    exec_cmd: task.definition.appImage,
    interrupt_cmd: null,
    exec_start_time: startOf(task) ?? 0,
    exec_end_time: task.endedAt ?? 0,
    exec_wait_time: seconds(waitedMs(task, now)),
    step_status: status,
    cmd_type: "SHELL_CMD",
    info: infoOf(task, now),
    run_async: false,
    interruptCmd: null,
  };
}

/** An app may have ended before anybody saw it run. */
function startOf({ state, startedAt, endedAt }: Task): Instant | null {
  return startedAt ?? (state === "Succeeded" ? endedAt : null);
}

/** Facts about the run, each as text; what is not known yet is left out. */
function infoOf(task: Task, now: Instant): Readonly<Record<string, string>> {
  const { definition, endedAt, createdAt, message, runner } = task;
  const startedAt = startOf(task);
  return {
    ...(startedAt !== null && { startTime: String(startedAt) }),
    ...(endedAt !== null && { endTime: String(endedAt) }),
    ...(createdAt !== null && { mapReduceWaitTime: String(waitedMs(task, now)) }),
    task_id: definition.taskId,
    parties: [...new Set(definition.parties.map((party) => party.domain))].join(","),
    attempt: String(task.attempt),
    reason: task.reason,
    ...(message !== "" && { message }),
    ...(runner !== null && { runner }),
  };
}
