/**
 * The runner contract. A runner executes attempts: one process (or pod) per party instance. The scheduler talks to it in
 * this order, and every step may be followed by a crash of the server:
 *
 *   reserve(launch)       ports and room for all instances of the task, or for none
 *   (the scheduler saves the claim; if that is refused: release)
 *   start(launch, ...)    starts every instance; each is reported through the observer, exactly one `ended` per instance
 *   stop(uid)             TERM to the whole process group, KILL after a grace; the end is reported as any other
 *   adopt(attempts)       after a restart: what is still alive is watched on, what ended meanwhile is reported, what can
 *                         not be found is reported as lost
 *
 * A runner holds no job state: what it reports is judged by the moves, and a report about an attempt that is over is
 * refused there. So a runner may report twice, and must rather do so than not at all.
 */

import type { AppImage, DeployTemplate } from "./core/image.js";
import type { Attempt, PartyDefinition, Reason } from "./core/job.js";

export interface PartyLaunch {
  readonly definition: PartyDefinition;
  readonly template: DeployTemplate;
}

/** Everything needed to run one attempt number of one task at all its parties. */
export interface TaskLaunch {
  readonly jobUid: string;
  readonly jobId: string;
  readonly taskIndex: number;
  readonly taskId: string;
  readonly alias: string;
  /** Attempt number. */
  readonly number: number;
  readonly inputConfig: string;
  readonly image: AppImage;
  readonly parties: readonly PartyLaunch[];
}

export interface ReservedPort {
  readonly name: string;
  readonly scope: string;
  readonly protocol: string;
  /** `host:port` under which the other instances reach it. */
  readonly endpoint: string;
  readonly port: number;
}

/** One instance (replica) of one party, with the room that is kept for it. */
export interface ReservedInstance {
  readonly attemptUid: string;
  readonly domain: string;
  readonly role: string;
  readonly replica: number;
  readonly ports: readonly ReservedPort[];
}

export type Reservation =
  | { readonly granted: true; readonly instances: readonly ReservedInstance[] }
  /** No room now: `message` is shown to users as what the task waits for. */
  | { readonly granted: false; readonly message: string };

/** How an attempt ended. */
export interface AttemptEnd {
  readonly outcome: "Succeeded" | "Failed" | "Lost";
  /** `AppFailed`, `AppNotStarted` or `AttemptLost` where the outcome is not Succeeded, else `None`. */
  readonly reason: Extract<Reason, "None" | "AppFailed" | "AppNotStarted" | "AttemptLost">;
  readonly exitCode: number | null;
  /** e.g. `SIGKILL`. */
  readonly signal: string | null;
  /** One sentence for people: the last lines of stderr, or what went wrong. */
  readonly message: string;
}

/** Called by the runner; calls of one attempt come in order. They never throw. */
export interface RunnerObserver {
  started(attemptUid: string): void;
  ended(attemptUid: string, end: AttemptEnd): void;
}

export interface AttemptLog {
  readonly text: string;
  /** The log's start or middle is not in `text`. */
  readonly truncated: boolean;
}

export interface Runner {
  /** Stable over restarts of the same server on the same data. */
  readonly id: string;
  /** Whether this runner executes parties of the domain. */
  serves(domain: string): boolean;
  observe(observer: RunnerObserver): void;
  reserve(launch: TaskLaunch): Promise<Reservation>;
  /** Gives back a reservation whose instances were never started. */
  release(attemptUids: readonly string[]): Promise<void>;
  /** Resolves when every instance was started or has been reported as ended. */
  start(launch: TaskLaunch, instances: readonly ReservedInstance[]): Promise<void>;
  /** Idempotent; unknown attempts are reported as lost. Resolves when the end is on its way, not when it has come. */
  stop(attemptUid: string): Promise<void>;
  adopt(attempts: readonly Attempt[]): Promise<void>;
  /** The attempt's output so far, the last `tailBytes` bytes of it; null where this runner has none. */
  readLog(attempt: Attempt, tailBytes: number): Promise<AttemptLog | null>;
  /** Removes what is left of jobs that are gone. `present` tells which of the uids it is asked about are still there. */
  sweep(present: (jobUids: readonly string[]) => Promise<ReadonlySet<string>>): Promise<void>;
  /** Ends watching. Running attempts go on, to be adopted by the next start. */
  close(): Promise<void>;
}
