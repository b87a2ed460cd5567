/** The Kylin surface on a real store behind a real server, with jobs in the state that a test needs. */

import { v7 as uuid } from "uuid";
import { pino } from "pino";
import type { Attempt, JobDefinition } from "../../../src/core/job.js";
import type { ShownStatus } from "../../../src/core/list.js";
import { attemptEnded, attemptStarted, claim } from "../../../src/core/moves/tasks.js";
import type { Command } from "../../../src/jobs.js";
import { createLogs } from "../../../src/logs.js";
import type { AttemptLog } from "../../../src/runner.js";
import { createServer, type ServerOptions } from "../../../src/server.js";
import { createKylinSurface } from "../../../src/surfaces/kylin/surface.js";
import type { JobObject } from "../../../src/surfaces/kylin/translate.js";
import { failed, MASTER, party, succeeded, taskOf } from "../../core/fixtures.js";
import { jobNamed, openTestStore } from "../../store/fixtures.js";

export const V2 = "application/vnd.apache.kylin-v2+json";
export const VERSION = "1.2.3";

export interface Answer<T = unknown> {
  readonly status: number;
  readonly type: string | null;
  readonly headers: Headers;
  readonly code: string;
  readonly data: T;
  readonly msg: string;
  readonly exception?: string;
  readonly stacktrace?: string;
  readonly url?: string;
}

export type Kylin = Awaited<ReturnType<typeof openKylin>>;

export async function openKylin(options: Partial<ServerOptions> = {}) {
  const store = await openTestStore({ manualDomains: ["bob"] });
  const log = pino({ level: "silent" });
  /** What the runner says of an attempt's output, by domain. */
  const outputs = new Map<string, AttemptLog>();
  const runner = { readLog: async (attempt: Attempt) => outputs.get(attempt.domain) ?? null };
  const { pool, jobs } = store;
  /** How far the surface's clock is ahead of the engine's. */
  const clock = { aheadMs: 0 };
  const surface = createKylinSurface({
    jobs,
    logs: createLogs({ pool, jobs, runner }),
    now: () => Date.now() + clock.aheadMs,
    version: VERSION,
    log,
  });
  const server = createServer({
    listen: { host: "127.0.0.1", port: 0 },
    surfaces: [surface],
    authenticate: () => ({ kind: "Admitted", actor: MASTER, ambient: true }),
    maxBodyBytes: 1 << 16,
    log,
    ...options,
  });
  const url = `http://127.0.0.1:${(await server.start()).port}`;

  async function call<T = JobObject>(line: string, headers: Record<string, string> = {}): Promise<Answer<T>> {
    const [method = "", path = ""] = line.split(" ");
    const answer = await fetch(`${url}/kylin/api${path}`, { method, headers: { accept: V2, ...headers } });
    // Every answer is an envelope.
    const envelope = (await answer.json()) as Pick<Answer<T>, "code" | "data" | "msg">;
    return { status: answer.status, type: answer.headers.get("content-type"), headers: answer.headers, ...envelope };
  }

  let made = 0;
  async function submit(more: Partial<JobDefinition> = {}): Promise<string> {
    const jobId = more.jobId ?? `j${(made += 1)}`;
    await jobs.submit({ definition: jobNamed(jobId, { ...ALONE, ...more }), surface: "kuscia" }, MASTER);
    return jobId;
  }

  const command = (jobId: string, verb: Command) => jobs.command(verb, jobId, MASTER, "");

  /** Starts the first attempt of the job's live task with this index; its uid for each party. */
  async function start(jobId: string, index = 0): Promise<readonly string[]> {
    const target = { jobId };
    const uids = await store.writer.change({
      target,
      touch: "whole",
      move(draft, now) {
        const { attempt: number, parties } = draft.task(index);
        const instances = parties.map(({ domain, role }) => ({ attemptUid: uuid(), domain, role, replica: 0, endpoints: [] }));
        claim(draft, { taskIndex: index, number, runner: "runner-1", instances, now });
        return instances.map((instance) => instance.attemptUid);
      },
    });
    for (const attemptUid of uids) {
      await store.writer.change({ target, touch: "whole", move: (draft, now) => attemptStarted(draft, { attemptUid, now }) });
    }
    return uids;
  }

  async function end(jobId: string, uids: readonly string[], how: typeof succeeded | typeof failed = succeeded): Promise<void> {
    for (const uid of uids) {
      await store.writer.change({ target: { jobId }, touch: "whole", move: (draft, now) => attemptEnded(draft, how(uid, now)) });
    }
  }

  const WAYS = {
    Waiting: async () => undefined,
    Running: async (jobId) => void (await start(jobId)),
    Stopped: async (jobId) => void (await command(jobId, "Suspend")),
    Error: async (jobId) => end(jobId, await start(jobId), failed),
    Finished: async (jobId) => {
      for (const index of [0, 1]) await end(jobId, await start(jobId, index));
    },
    Discarded: async (jobId) => void (await command(jobId, "Cancel")),
  } satisfies Record<ShownStatus, (jobId: string) => Promise<void>>;

  /** A new job that is shown as this. */
  async function jobThatIs(status: ShownStatus, more: Partial<JobDefinition> = {}): Promise<string> {
    const jobId = await submit(more);
    await WAYS[status](jobId);
    return jobId;
  }

  async function close(): Promise<void> {
    await server.stop();
    await store.close();
  }

  return { store, url, outputs, clock, call, submit, command, start, end, jobThatIs, close };
}

/** Two tasks of alice's, one after the other; nobody has to approve them. */
const ALONE = {
  tasks: [
    taskOf("a", { taskId: "", parties: [party("alice")] }),
    taskOf("b", { taskId: "", parties: [party("alice")], dependencies: ["a"] }),
  ],
};
