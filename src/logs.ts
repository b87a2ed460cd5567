/** Logs of attempts, also of those that have ended. */

import { invalid, JobError } from "./core/error.js";
import type { Actor, Attempt, AttemptState, JobView, Task } from "./core/job.js";
import type { Jobs } from "./jobs.js";
import type { Runner } from "./runner.js";
import type { Pool } from "./store/pool.js";
import { attemptsOfJob } from "./store/work.js";

export interface LogQuery {
  readonly jobId: string;
  /** Alias or task_id; empty = every task. */
  readonly task: string;
  /** Empty = every domain that the caller may see. */
  readonly domain: string;
  /** Undefined = every role. */
  readonly role?: string;
  /** 0 = the latest attempt. */
  readonly attempt: number;
  readonly tailBytes: number;
}

export interface TaskLog {
  readonly alias: string;
  readonly taskId: string;
  readonly domain: string;
  readonly role: string;
  readonly replica: number;
  readonly attempt: number;
  readonly state: AttemptState;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly truncated: boolean;
  readonly text: string;
}

export interface Logs {
  /** Errors: NotFound (job, task), Forbidden. */
  read(query: LogQuery, actor: Actor): Promise<readonly TaskLog[]>;
}

export interface LogsOptions {
  readonly pool: Pool;
  readonly jobs: Jobs;
  /** The runner of this process; logs of other runners' attempts are not here. */
  readonly runner: Runner;
}

export const MAX_LOG_BYTES = 1 << 20;
export const DEFAULT_LOG_BYTES = 64 << 10;

export function createLogs(options: LogsOptions): Logs {
  const { pool, jobs, runner } = options;
  return {
    async read(query, actor) {
      if (query.tailBytes < 0) throw invalid("tail_bytes", "must not be negative");
      if (query.attempt < 0) throw invalid("attempt", "must not be negative");
      const tailBytes = Math.min(query.tailBytes === 0 ? DEFAULT_LOG_BYTES : query.tailBytes, MAX_LOG_BYTES);
      const view = await jobs.query(query.jobId, actor);
      const domain = visibleDomain(query.domain, actor);
      const task = query.task === "" ? undefined : taskNamed(view, query.task);
      const all = await attemptsOfJob(pool, view.job.uid, task?.index ?? null);
      const newest = new Map<number, number>();
      for (const attempt of all) if (!newest.has(attempt.taskIndex)) newest.set(attempt.taskIndex, attempt.number);
      const asked = all.filter(
        (attempt) =>
          attempt.number === (query.attempt === 0 ? newest.get(attempt.taskIndex) : query.attempt) &&
          (domain === "" || attempt.domain === domain) &&
          (query.role === undefined || attempt.role === query.role),
      );
      return Promise.all(asked.map((attempt) => readOne(view, attempt, tailBytes)));
    },
  };

  async function readOne(view: JobView, attempt: Attempt, tailBytes: number): Promise<TaskLog> {
    const definition = view.tasks[attempt.taskIndex]?.definition;
    const log = await runner.readLog(attempt, tailBytes);
    return {
      alias: definition?.alias ?? "",
      taskId: definition?.taskId ?? "",
      domain: attempt.domain,
      role: attempt.role,
      replica: attempt.replica,
      attempt: attempt.number,
      state: attempt.state,
      exitCode: attempt.exitCode,
      signal: attempt.signal,
      truncated: log?.truncated ?? false,
      text: log?.text ?? `(no log here: the attempt belongs to runner ${attempt.runner})\n`,
    };
  }
}

/** A domain reads its own logs only: another party's output may hold that party's data. */
function visibleDomain(asked: string, actor: Actor): string {
  if (actor.role !== "domain" || actor.domain === null) return asked;
  if (asked === "" || asked === actor.domain) return actor.domain;
  throw new JobError("Forbidden", `domain_id: logs of domain "${asked}" are not for this caller`, { field: "domain_id" });
}

function taskNamed(view: JobView, name: string): Task {
  const task = view.tasks.find((t) => t.definition.alias === name || t.definition.taskId === name);
  if (!task) throw new JobError("NotFound", `job "${view.job.jobId}" has no task "${name}"`, { metadata: { task: name } });
  return task;
}
