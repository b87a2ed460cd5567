/** Pause, resume, cancel and drop. Which of them a job allows is judged where the move is, so of two only one can win. */

import { setTimeout as delay } from "node:timers/promises";
import { JobError } from "../../core/error.js";
import type { Actor, JobView } from "../../core/job.js";
import { SHOWN_STATUSES } from "../../core/list.js";
import type { ShownRules } from "../../core/moves/commands.js";
import type { Jobs } from "../../jobs.js";
import { type Action, type ActionName, ACTIONS, JOB_STATUS } from "./states.js";

export interface Ordered {
  readonly name: ActionName;
  readonly jobId: string;
  readonly actor: Actor;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** How long a resume waits for the processes of a job that was paused just now. */
const PATIENCE_MS = 15_000;
const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 500;

/** The job as the action left it; of a drop, as it was before. */
export async function act(jobs: Pick<Jobs, "command">, { name, jobId, actor, signal }: Ordered): Promise<JobView> {
  const { verb, rules }: Action = ACTIONS[name];
  let left = PATIENCE_MS;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      return await jobs.command(verb, jobId, actor, "", { rules });
    } catch (error) {
      if (!(error instanceof JobError) || error.reason !== "IllegalMove") throw error;
      const shown = SHOWN_STATUSES.find((status) => status === error.metadata.shown);
      if (shown) throw refused(name, jobId, `it is ${JOB_STATUS[shown]} and must be ${allowedFor(rules)}`);
      // A job is shown as stopped at once, but can start again only when its last process has ended.
      if (left <= 0) throw refused(name, jobId, "its processes are still being stopped; try again");
    }
    left -= pause;
    // Without a client that waits for it there is one last try.
    await delay(pause, undefined, { signal }).catch(() => (left = 0));
  }
}

/** In the order of the statuses' table. */
function allowedFor(rules: ShownRules): string {
  const allowed = SHOWN_STATUSES.filter((status) => rules[status] !== "refuse").map((status) => JOB_STATUS[status]);
  const last = allowed.pop() ?? "";
  return allowed.length === 0 ? last : `${allowed.join(", ")} or ${last}`;
}

function refused(name: ActionName, jobId: string, because: string): JobError {
  return new JobError("IllegalMove", `cannot ${name} job "${jobId}": ${because}`, { metadata: { job_id: jobId } });
}
