/** A job as text: one line for the job, one per task, one per party, with states, times and what is waited for. */

import type {
  CreateJobRequest,
  JobStatusDetail,
  TaskStatus,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";

const MARK: Readonly<Record<string, string>> = {
  Pending: "·",
  AwaitingApproval: "?",
  Running: "▶",
  Succeeded: "✔",
  Failed: "✘",
  Cancelled: "✘",
  ApprovalReject: "✘",
  Suspended: "‖",
};

export function picture(request: CreateJobRequest, status: JobStatusDetail): string[] {
  const lines = [line(status.state, `job ${request.jobId}`, `${status.state}${span(status)}`)];
  for (const task of status.tasks) {
    const wait = waitsFor(request, status, task);
    const detail = task.errMsg !== "" ? `  ${task.errMsg}` : wait === "" ? span(task) : `  waiting for ${wait}`;
    const progress = task.state === "Running" && task.progress > 0 ? `  ${Math.round(task.progress * 100)} %` : "";
    lines.push(line(task.state, `  ${task.alias}`, `${task.state}${progress}${detail}`));
    for (const party of task.parties) {
      const where = party.endpoints.map((endpoint) => endpoint.endpoint).join(", ");
      const why = party.errMsg !== "" ? `  ${party.errMsg}` : where === "" ? "" : `  ${where}`;
      lines.push(line(party.state, `      ${party.domainId}`, `${party.state}${why}`));
    }
  }
  return lines;
}

function line(state: string, name: string, rest: string): string {
  return `${MARK[state] ?? " "} ${name.padEnd(26)}${rest}`;
}

function span({ startTime, endTime }: { startTime: string; endTime: string }): string {
  if (startTime === "") return "";
  const from = startTime.slice(11, 19);
  return endTime === "" ? `  since ${from}` : `  ${from} - ${endTime.slice(11, 19)}`;
}

/** What a Pending task waits for, as far as the request tells: its dependencies, else a slot or a runner. */
function waitsFor(request: CreateJobRequest, status: JobStatusDetail, task: TaskStatus): string {
  if (task.state !== "Pending") return "";
  if (status.state === "AwaitingApproval") return "approval";
  const done = new Set(status.tasks.filter((other) => other.state === "Succeeded").map((other) => other.alias));
  const asked = request.tasks.find((other) => other.alias === task.alias)?.dependencies ?? [];
  const open = asked.filter((alias) => !done.has(alias));
  if (open.length > 0) return open.join(", ");
  return task.createTime === "" ? "a free slot" : "its processes to start";
}

/** Draws in place on a terminal; elsewhere prints each picture that differs from the last. */
export class Screen {
  #last = "";
  #height = 0;

  constructor(readonly request: CreateJobRequest) {}

  draw(status: JobStatusDetail): void {
    const lines = picture(this.request, status);
    const text = lines.join("\n");
    if (text === this.#last) return;
    const { stdout } = process;
    if (stdout.isTTY && this.#height > 0) stdout.write(`\u001b[${this.#height}A\u001b[0J`);
    else if (this.#last !== "") stdout.write("\n");
    stdout.write(`${text}\n`);
    this.#last = text;
    // Lines that the terminal wraps take more rows than one.
    const width = stdout.columns || 80;
    this.#height = lines.reduce((rows, each) => rows + Math.max(1, Math.ceil(each.length / width)), 0);
  }
}
