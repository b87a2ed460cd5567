/** The output of a step: the ends of the logs that its parties wrote, as far as the caller may read them. */

import { JobError, quoted } from "../../core/error.js";
import type { Actor, JobView } from "../../core/job.js";
import { shownStatus } from "../../core/list.js";
import type { Jobs } from "../../jobs.js";
import { type Logs, MAX_TAIL_BYTES, type TaskLog } from "../../logs.js";
import { stepsOf } from "./steps.js";

export interface StepOutput {
  readonly jobId: string;
  readonly stepId: string;
  readonly cmd_output: string;
}

export interface OutputSources {
  readonly jobs: Pick<Jobs, "query">;
  readonly logs: Logs;
}

/** The job's own id is a step id too: it stands for the job, whose output is its message. */
export async function stepOutput({ jobs, logs }: OutputSources, jobId: string, stepId: string, actor: Actor): Promise<StepOutput> {
  const view = await jobs.query(jobId, actor);
  if (stepId === jobId) return { jobId, stepId, cmd_output: view.job.message };
  const task = taskOfStep(view, stepId);
  const query = { jobId, task: task.definition.taskId, domain: "", attempt: 0, tailBytes: MAX_TAIL_BYTES };
  const text = joined(await logs.read(query, actor));
  return { jobId, stepId, cmd_output: text === "" ? task.message : text };
}

function taskOfStep(view: JobView, stepId: string) {
  const { job } = view;
  const step = stepsOf(view, shownStatus(job)).find((each) => each.id === stepId);
  if (!step) throw new JobError("NotFound", `job "${job.jobId}" has no step ${quoted(stepId)}`, { metadata: { step_id: stepId } });
  return step.task;
}

/** One log is given as it is; several each get a line that says whose it is. */
function joined(logs: readonly TaskLog[]): string {
  const [only, second] = logs;
  if (only && !second) return textOf(only);
  return logs.map((log) => `==> ${titleOf(log)} <==\n${ended(textOf(log))}`).join("");
}

function textOf({ text, truncated }: TaskLog): string {
  return truncated ? `(earlier output is left out)\n${text}` : text;
}

function titleOf({ domain, role, replica, attempt }: TaskLog): string {
  return [domain, ...(role === "" ? [] : [role]), ...(replica === 0 ? [] : [`instance ${replica}`]), `attempt ${attempt}`].join(", ");
}

function ended(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}
