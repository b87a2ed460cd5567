/**
 * A runner without processes: every attempt starts at once and ends at once with success. So what is measured is the
 * engine: claims, reports, moves and their writes.
 */

import { v7 as uuid } from "uuid";
import type { Attempt } from "../src/core/job.js";
import type { AttemptEnd, Reservation, ReservedInstance, Runner, RunnerObserver, TaskLaunch } from "../src/runner.js";

const SUCCESS: AttemptEnd = { outcome: "Succeeded", reason: "None", exitCode: 0, signal: null, message: "" };
const LOST: AttemptEnd = {
  outcome: "Lost",
  reason: "AttemptLost",
  exitCode: null,
  signal: null,
  message: "it had no process",
};

export class NoopRunner implements Runner {
  readonly id = "noop";
  #observer: RunnerObserver | undefined;

  serves(): boolean {
    return true;
  }

  observe(observer: RunnerObserver): void {
    this.#observer = observer;
  }

  async reserve(launch: TaskLaunch): Promise<Reservation> {
    const instances = launch.parties.map(({ definition }) => ({
      attemptUid: uuid(),
      domain: definition.domain,
      role: definition.role,
      replica: 0,
      ports: [],
    }));
    return { granted: true, instances };
  }

  async release(): Promise<void> {}

  async start(_launch: TaskLaunch, instances: readonly ReservedInstance[]): Promise<void> {
    for (const { attemptUid } of instances) {
      this.#observer?.started(attemptUid);
      this.#observer?.ended(attemptUid, SUCCESS);
    }
  }

  async stop(attemptUid: string): Promise<void> {
    this.#observer?.ended(attemptUid, LOST);
  }

  async adopt(attempts: readonly Attempt[]): Promise<void> {
    for (const { uid } of attempts) this.#observer?.ended(uid, LOST);
  }

  async readLog(): Promise<null> {
    return null;
  }

  async sweep(): Promise<void> {}

  async close(): Promise<void> {}
}
