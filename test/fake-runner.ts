/** A runner in the test's hands: it grants what the test allows and reports what the test says. */

import { EventEmitter, once } from "node:events";
import { v7 as uuid } from "uuid";
import type { Attempt } from "../src/core/job.js";
import type { AttemptEnd, Reservation, ReservedInstance, Runner, RunnerObserver, TaskLaunch } from "../src/runner.js";

export const SUCCESS: AttemptEnd = { outcome: "Succeeded", reason: "None", exitCode: 0, signal: null, message: "" };
export const FAILURE: AttemptEnd = { outcome: "Failed", reason: "AppFailed", exitCode: 1, signal: null, message: "it broke" };
const STOPPED: AttemptEnd = { outcome: "Failed", reason: "AppFailed", exitCode: null, signal: "SIGTERM", message: "ended by SIGTERM" };

export class FakeRunner extends EventEmitter implements Runner {
  readonly launches: TaskLaunch[] = [];
  readonly running = new Map<string, ReservedInstance>();
  readonly adopted: Attempt[] = [];
  released: string[] = [];
  stopped: string[] = [];
  /** Null = room for everything; else what is said to be missing. */
  full: string | null = null;
  #observer: RunnerObserver | undefined;

  constructor(
    readonly id = "fake",
    readonly domains: ReadonlySet<string> | null = null,
  ) {
    super();
  }

  serves(domain: string): boolean {
    return this.domains?.has(domain) ?? true;
  }

  observe(observer: RunnerObserver): void {
    this.#observer = observer;
  }

  async reserve(launch: TaskLaunch): Promise<Reservation> {
    if (this.full !== null) return { granted: false, message: this.full };
    return {
      granted: true,
      instances: launch.parties.map(({ definition }, i) => ({
        attemptUid: uuid(),
        domain: definition.domain,
        role: definition.role,
        replica: 0,
        ports: [{ name: "p", scope: "Cluster", protocol: "HTTP", endpoint: `127.0.0.1:${4000 + i}`, port: 4000 + i }],
      })),
    };
  }

  async release(attemptUids: readonly string[]): Promise<void> {
    this.released.push(...attemptUids);
  }

  async start(launch: TaskLaunch, instances: readonly ReservedInstance[]): Promise<void> {
    this.launches.push(launch);
    for (const instance of instances) this.running.set(instance.attemptUid, instance);
    for (const instance of instances) this.#observer?.started(instance.attemptUid);
    this.emit(`start ${launch.alias}`);
  }

  /** Resolves when the task has been started, now or earlier. */
  async startOf(alias: string, times = 1): Promise<void> {
    while (this.launches.filter((launch) => launch.alias === alias).length < times) await once(this, `start ${alias}`);
  }

  /** Ends every running instance, or one domain's. */
  end(end: AttemptEnd, domain?: string): void {
    for (const [uid, instance] of this.running) {
      if (domain !== undefined && instance.domain !== domain) continue;
      this.running.delete(uid);
      this.#observer?.ended(uid, end);
    }
  }

  async stop(attemptUid: string): Promise<void> {
    this.stopped.push(attemptUid);
    this.running.delete(attemptUid);
    this.#observer?.ended(attemptUid, STOPPED);
    this.emit("stop");
  }

  async adopt(attempts: readonly Attempt[]): Promise<void> {
    this.adopted.push(...attempts);
  }

  reportLost(attemptUid: string): void {
    const message = "the process ended unseen";
    this.#observer?.ended(attemptUid, { outcome: "Lost", reason: "AttemptLost", exitCode: null, signal: null, message });
  }

  async readLog(): Promise<null> {
    return null;
  }

  async sweep(): Promise<void> {}

  async close(): Promise<void> {}
}
