/** A job as text: one line for the job, one per task, one per party, with states, times and what is waited for. */

import type { JobStatusDetail, StateReason } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";

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

/** What a reason of waiting says where it comes without a sentence. */
const WAITING: Readonly<Record<string, string>> = {
  WaitingApproval: "waiting for approval",
  WaitingDependency: "waiting for its dependencies",
  WaitingSlot: "waiting for a free slot",
  WaitingRunner: "waiting for a runner",
  WaitingResources: "waiting for room",
  WaitingPeer: "waiting for a partner",
  WaitingRetry: "waiting for the next try",
  Starting: "its processes are being started",
  Stopping: "being stopped",
};

export function picture(jobId: string, status: JobStatusDetail): string[] {
  const lines = [line(status.state, `job ${jobId}`, `${status.state}${why(status)}${span(status)}`)];
  for (const task of status.tasks) {
    const progress = task.state === "Running" && task.progress > 0 ? `  ${Math.round(task.progress * 100)} %` : "";
    lines.push(line(task.state, `  ${task.alias}`, `${task.state}${progress}${why(task)}${span(task)}`));
    for (const party of task.parties) {
      const where = party.endpoints.map((endpoint) => endpoint.endpoint).join(", ");
      const detail = why(party) || (where === "" ? "" : `  ${where}`);
      lines.push(line(party.state, `      ${party.domainId}`, `${party.state}${detail}${since(party.reason)}`));
    }
  }
  return lines;
}

/** The words for why it is so: an error first, then what it waits for. */
function why({ errMsg, reason }: { errMsg: string; reason?: StateReason | undefined }): string {
  if (errMsg !== "") return `  ${errMsg}`;
  if (!reason || reason.reason === "") return "";
  if (reason.waitsFor.length > 0) return `  waiting for ${reason.waitsFor.join(", ")}`;
  return `  ${reason.message || WAITING[reason.reason] || reason.reason}`;
}

function line(state: string, name: string, rest: string): string {
  return `${MARK[state] ?? " "} ${name.padEnd(26)}${rest}`;
}

/** From its start to its end; before its start, since when it is as it is. */
function span(status: { startTime: string; endTime: string; reason?: StateReason | undefined }): string {
  if (status.startTime === "") return since(status.reason);
  const from = clock(status.startTime);
  return status.endTime === "" ? `  since ${from}` : `  ${from} - ${clock(status.endTime)}`;
}

function since(reason: StateReason | undefined): string {
  return reason && reason.since !== "" ? `  since ${clock(reason.since)}` : "";
}

/** Hours, minutes and seconds of an RFC 3339 time. */
function clock(time: string): string {
  return time.slice(11, 19);
}

/** Draws in place on a terminal; elsewhere prints each picture that differs from the last. */
export class Screen {
  #last = "";
  #height = 0;

  constructor(readonly jobId: string) {}

  draw(status: JobStatusDetail): void {
    const lines = picture(this.jobId, status);
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
