/** Logs of attempts, also of those that have ended. */

import { JobError } from "./core/error.js";
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
  /** Of each log at most so many bytes of UTF-8, from 1 to MAX_TAIL_BYTES. */
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
  /**
   * The ends of the logs: of each `tailBytes`, less where many are asked for, so that the text of all together stays
   * within MAX_TAIL_BYTES. Errors: NotFound (job, task), Forbidden.
   */
  read(query: LogQuery, actor: Actor): Promise<readonly TaskLog[]>;
}

export interface LogsOptions {
  readonly pool: Pool;
  readonly jobs: Pick<Jobs, "query">;
  /** The runner of this process; logs of other runners' attempts are not here. */
  readonly runner: Pick<Runner, "readLog">;
}

/** For a caller that does not say how much it wants. */
export const DEFAULT_TAIL_BYTES = 65_536;
/** Bound of one log's text, and of all text in one answer. */
export const MAX_TAIL_BYTES = 1_048_576;
const READ_AT_ONCE = 8;

export function createLogs(options: LogsOptions): Logs {
  const { pool, jobs, runner } = options;
  return {
    async read(query, actor) {
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
      const tailBytes = Math.min(query.tailBytes, Math.floor(MAX_TAIL_BYTES / Math.max(1, asked.length)));
      const logs: TaskLog[] = [];
      for (let next = 0; next < asked.length; next += READ_AT_ONCE) {
        const some = asked.slice(next, next + READ_AT_ONCE);
        logs.push(...(await Promise.all(some.map((attempt) => readOne(view, attempt, tailBytes)))));
      }
      return logs;
    },
  };

  async function readOne(view: JobView, attempt: Attempt, tailBytes: number): Promise<TaskLog> {
    const definition = view.tasks[attempt.taskIndex]?.definition;
    const log = await runner.readLog(attempt, tailBytes);
    const text = log?.text ?? `(no log here: the attempt belongs to runner ${attempt.runner})\n`;
    const kept = endOf(text, tailBytes);
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
      truncated: (log?.truncated ?? false) || kept !== text,
      text: kept,
    };
  }
}

/** The last whole characters of a text in so many bytes: U+FFFD for what is no UTF-8 makes a text longer than its log. */
function endOf(text: string, bytes: number): string {
  const all = Buffer.from(text);
  if (all.length <= bytes) return text;
  let start = all.length - bytes;
  while (start < all.length && ((all[start] ?? 0) & 0b1100_0000) === 0b1000_0000) start += 1;
  return all.toString("utf8", start);
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
