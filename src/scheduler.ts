/**
 * From open tasks to attempts. Moves decide what may start (they open a task's attempt number) and what must stop; the
 * scheduler carries it to the runner of this process and brings the runner's reports back as moves.
 *
 * Nothing polls for work. What this process commits is handed over with the tasks that it opened; a hint (a notification of
 * another process's commit, a freed reservation) makes one round, which claims what is unclaimed and stops what must
 * stop. Tickers are for time alone: deadlines, leases, and what a lost hint left behind.
 *
 * Crashes. A claim is saved before the first process starts, so after a restart `adopt` asks the runner about every
 * attempt that the store holds open. A runner that does not come back loses its lease, and any other server ends its
 * attempts as lost. A runner that was only paused finds its attempts ended when it wakes, and stops their processes.
 */

import { setTimeout as delay } from "node:timers/promises";
import { JobError } from "./core/error.js";
import type { Attempt } from "./core/job.js";
import { expireApproval } from "./core/moves/commands.js";
import { attemptEnded, attemptStarted, claim, expire, waitForRoom } from "./core/moves/tasks.js";
import type { AttemptEnd, Runner, TaskLaunch } from "./runner.js";
import { LaunchBuilder } from "./scheduler/launch.js";
import { Poked, type Service, Ticker } from "./service.js";
import type { Writer } from "./store/batch.js";
import { type HistoryBounds, pruneEvents } from "./store/events.js";
import { pruneImageContents } from "./store/images.js";
import type { Commit } from "./store/changes.js";
import type { Pool } from "./store/pool.js";
import {
  attemptsToStop,
  attemptsWithoutLease,
  type OpenTask,
  openAttempts,
  overdueApprovals,
  overdueTasks,
  presentJobs,
  renewLease,
  retryIsDue,
  unclaimedTasks,
} from "./store/work.js";

export interface SchedulerOptions {
  readonly pool: Pool;
  readonly writer: Writer;
  readonly runner: Runner;
  readonly now: () => number;
  readonly leaseMs: number;
  readonly history: HistoryBounds;
  /** How long a job may wait for approval; null = without limit. */
  readonly approvalMs: number | null;
  readonly onFault: (error: unknown) => void;
}

const CLAIMS_PER_ROUND = 500;

export class Scheduler implements Service {
  readonly #options: SchedulerOptions;
  readonly #launches: LaunchBuilder;
  readonly #round: Poked;
  readonly #tickers: readonly Ticker[];
  /** Attempts that the runner holds for us, with what is being told about each, in order. */
  readonly #held = new Map<string, { readonly attempt: Attempt; reports: Promise<void> }>();
  readonly #stopAsked = new Set<string>();
  readonly #claiming = new Map<string, Promise<{ refused: boolean }>>();
  /** Claims that were under way when a round came by, so that it has not tried them. */
  readonly #passedBy = new Set<string>();
  /** Some task was refused for want of room. */
  #crowded = false;
  #open = false;
  #tidying: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#launches = new LaunchBuilder(options.pool);
    const { onFault } = options;
    this.#round = new Poked(() => this.runOnce(), onFault);
    this.#tickers = [
      new Ticker({ everyMs: 1_000, runOnce: () => this.keepTime(), onFault }),
      new Ticker({ everyMs: 5_000, runOnce: () => this.keepApprovals(), onFault }),
      new Ticker({ everyMs: options.leaseMs / 3, runOnce: () => this.keepLeases(), onFault }),
      new Ticker({ everyMs: 60_000, runOnce: () => this.tidy(), onFault }),
    ];
  }

  async start(): Promise<void> {
    const { pool, runner, leaseMs } = this.#options;
    runner.observe({
      started: (uid) => this.#report(uid, (attempt) => this.#startAttempt(attempt)),
      ended: (uid, end) => this.#report(uid, (attempt) => this.#endAttempt(attempt, end), () => this.#letGo(uid)),
    });
    await renewLease(pool, runner.id, leaseMs);
    const open = await openAttempts(pool, runner.id);
    for (const attempt of open) this.#hold(attempt);
    await runner.adopt(open);
    for (const ticker of this.#tickers) await ticker.start();
    this.#open = true;
    this.poke();
    // Not waited for: there may be much to forget, and a folder that cannot be cleared is no reason not to serve.
    this.#tidying = this.tidy().catch(this.#options.onFault);
  }

  /** Ends the loops and tells what the runner has reported so far. Running attempts go on without us. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#tickers.map((ticker) => ticker.stop()));
    await this.#tidying;
    await this.#round.stop();
    await Promise.all(this.#claiming.values());
    await this.#options.runner.close();
    await Promise.all([...this.#held.values()].map((held) => held.reports));
  }

  /** There may be something to claim or to stop. Before `start` nothing may begin: what was left behind is adopted first. */
  poke(): void {
    if (this.#open) this.#round.poke();
  }

  /** What this process has committed: it need not be looked for. */
  take({ opened, stops }: Commit): void {
    if (!this.#open || this.#stopped) return;
    for (const task of opened) void this.#claim(task);
    if (stops) this.poke();
  }

  async runOnce(): Promise<void> {
    const { pool, runner, now } = this.#options;
    this.#crowded = false;
    for (const attempt of await attemptsToStop(pool, runner.id)) {
      if (this.#stopAsked.has(attempt.uid)) continue;
      this.#hold(attempt);
      this.#stopAsked.add(attempt.uid);
      await runner.stop(attempt.uid).catch((error: unknown) => {
        this.#stopAsked.delete(attempt.uid);
        this.#options.onFault(error);
      });
    }
    const open = await unclaimedTasks(pool, new Date(now()), CLAIMS_PER_ROUND);
    // All claims of a round are saved as one batch.
    await Promise.all(open.map((task) => this.#claim(task)));
  }

  /** Never fails: what cannot be claimed now is looked for again. */
  async #claim(open: OpenTask): Promise<void> {
    const key = tryOf(open.jobUid, open.task.index, open.task.attempt);
    if (this.#claiming.has(key)) return void this.#passedBy.add(key);
    const claiming = this.#tryClaim(open);
    this.#claiming.set(key, claiming);
    const { refused } = await claiming;
    this.#claiming.delete(key);
    // The room that the round came for may be what was missing.
    if (this.#passedBy.delete(key) && refused) this.poke();
  }

  /** `refused` where there is no room for the task now. */
  async #tryClaim(open: OpenTask): Promise<{ refused: boolean }> {
    const { runner, writer } = this.#options;
    const { jobUid, task } = open;
    const target = { target: { uid: jobUid }, touch: task.index } as const;
    const foreign = task.parties.find((party) => !runner.serves(party.domain));
    let refused = false;
    try {
      if (foreign) {
        const message = `no runner serves domain "${foreign.domain}"`;
        if (task.message === message) return { refused: false };
        const move = { taskIndex: task.index, reason: "WaitingRunner", message } as const;
        await writer.change({ ...target, move: (draft, now) => waitForRoom(draft, { ...move, now }) });
        return { refused: false };
      }
      const launch = await this.#launches.build(open);
      const reservation = await runner.reserve(launch);
      if (!reservation.granted) {
        this.#crowded = true;
        refused = true;
        if (task.message === reservation.message) return { refused };
        const move = { taskIndex: task.index, reason: "WaitingResources", message: reservation.message } as const;
        await writer.change({ ...target, move: (draft, now) => waitForRoom(draft, { ...move, now }) });
      } else await this.#saveClaim(open, launch, reservation.instances);
    } catch (error) {
      // Claimed elsewhere, stopped or deleted meanwhile: the state is right as it is.
      if (!(error instanceof JobError) || error.reason === "Internal") this.#options.onFault(error);
    }
    return { refused };
  }

  async #saveClaim(
    { jobUid, task }: OpenTask,
    launch: TaskLaunch,
    instances: Extract<Awaited<ReturnType<Runner["reserve"]>>, { granted: true }>["instances"],
  ): Promise<void> {
    const { runner, writer } = this.#options;
    const claimed = instances.map((instance) => ({
      attemptUid: instance.attemptUid,
      domain: instance.domain,
      role: instance.role,
      replica: instance.replica,
      endpoints: instance.ports.map((port) => ({ portName: port.name, scope: port.scope, endpoint: port.endpoint })),
    }));
    let attempts: Attempt[];
    try {
      attempts = await writer.change({
        target: { uid: jobUid },
        touch: task.index,
        move: (draft, now) => {
          claim(draft, { taskIndex: task.index, number: task.attempt, runner: runner.id, instances: claimed, now });
          return draft.attemptsOf(draft.task(task.index));
        },
      });
    } catch (error) {
      await runner.release(instances.map((instance) => instance.attemptUid));
      throw error;
    }
    for (const attempt of attempts) this.#hold(attempt);
    await runner.start(launch, instances);
  }

  #hold(attempt: Attempt): void {
    if (!this.#held.has(attempt.uid)) this.#held.set(attempt.uid, { attempt, reports: Promise.resolve() });
  }

  /**
   * Each report is told until the store has taken or refused it. One does not wait for the other, so that a short attempt's
   * start and end share a batch: writes are folded in the order of arrival, and a start after the end is refused.
   */
  #report(uid: string, tell: (attempt: Attempt) => Promise<void>, told?: () => void): void {
    const held = this.#held.get(uid);
    if (!held) return;
    const telling = this.#persist(() => tell(held.attempt)).then(told);
    held.reports = Promise.all([held.reports, telling]).then(() => undefined);
  }

  #letGo(uid: string): void {
    this.#held.delete(uid);
    this.#stopAsked.delete(uid);
    // Its room is free again.
    if (this.#crowded) this.poke();
  }

  async #persist(tell: () => Promise<void>): Promise<void> {
    for (let pause = 50; ; pause = Math.min(2_000, pause * 2)) {
      try {
        return await tell();
      } catch (error) {
        const reason = error instanceof JobError ? error.reason : "Internal";
        // Over or deleted already: the report has no addressee any more.
        if (reason === "IllegalMove" || reason === "NotFound") return;
        // A fault must not cost a report: without it the job would wait for ever.
        if (reason === "Internal") this.#options.onFault(error);
        // Not taken yet. After a stop the next start finds the end again, from the runner's own files.
        if (this.#stopped) return;
        await delay(reason === "Internal" ? pause * 10 : pause);
      }
    }
  }

  async #startAttempt(attempt: Attempt): Promise<void> {
    await this.#options.writer.change({
      target: { uid: attempt.jobUid },
      touch: attempt.taskIndex,
      move: (draft, now) => attemptStarted(draft, { attemptUid: attempt.uid, now }),
    });
  }

  #endAttempt(attempt: Attempt, end: AttemptEnd): Promise<void> {
    return this.#options.writer.change({
      target: { uid: attempt.jobUid },
      touch: attempt.taskIndex,
      move: (draft, now) => attemptEnded(draft, { attemptUid: attempt.uid, ...end, now }),
    });
  }

  /** Ends what is overdue, and wakes tasks whose pause before the next try is over. */
  async keepTime(): Promise<void> {
    const { pool, writer, now } = this.#options;
    if (await retryIsDue(pool, new Date(now()))) this.poke();
    const overdue = await overdueTasks(pool, new Date(now()), 500);
    await Promise.all(
      overdue.map(({ jobUid, taskIndex }) =>
        this.#persist(() =>
          writer.change({ target: { uid: jobUid }, touch: taskIndex, move: (draft, at) => expire(draft, { taskIndex, now: at }) }),
        ),
      ),
    );
  }

  /** Ends jobs that have waited too long for somebody's approval. */
  async keepApprovals(): Promise<void> {
    const { pool, writer, now, approvalMs } = this.#options;
    if (approvalMs === null) return;
    const waitingSince = now() - approvalMs;
    const overdue = await overdueApprovals(pool, new Date(waitingSince), 500);
    await Promise.all(
      overdue.map((uid) =>
        this.#persist(() =>
          writer.change({ target: { uid }, touch: "whole", move: (draft, at) => expireApproval(draft, { waitingSince, now: at }) }),
        ),
      ),
    );
  }

  /** Renews our own lease, ends attempts of runners that lost theirs, and stops processes whose attempt is over. */
  async keepLeases(): Promise<void> {
    const { pool, runner, leaseMs } = this.#options;
    await renewLease(pool, runner.id, leaseMs);
    const lost: AttemptEnd = {
      outcome: "Lost",
      reason: "AttemptLost",
      exitCode: null,
      signal: null,
      message: "the runner that executed it is gone",
    };
    const orphans = await attemptsWithoutLease(pool, 500);
    await Promise.all(orphans.map((attempt) => this.#persist(() => this.#endAttempt(attempt, lost))));
    // Listed before the store is asked: what is held by then has been saved, so if it is not open it is over.
    const held = [...this.#held.keys()];
    const ours = await openAttempts(pool, runner.id);
    const open = new Set(ours.map((attempt) => attempt.uid));
    for (const uid of held) if (!open.has(uid)) await runner.stop(uid);
    await this.#takeUp(ours);
    this.poke();
  }

  /** Attempts that are ours in the store and that nobody here knows, e.g. of a claim whose answer was lost. */
  async #takeUp(ours: readonly Attempt[]): Promise<void> {
    const unknown = ours.filter(
      ({ uid, jobUid, taskIndex, number }) => !this.#held.has(uid) && !this.#claiming.has(tryOf(jobUid, taskIndex, number)),
    );
    for (const attempt of unknown) this.#hold(attempt);
    if (unknown.length > 0) await this.#options.runner.adopt(unknown);
  }

  /** Forgets what is over: old history, unused image contents, folders of deleted jobs. */
  async tidy(): Promise<void> {
    const { pool, runner, history } = this.#options;
    while (!this.#stopped && (await pruneEvents(pool, history, 10_000)) >= 10_000) await delay(10);
    await pruneImageContents(pool);
    await runner.sweep((jobUids) => presentJobs(pool, jobUids));
  }
}

/** Names one try of one task. */
function tryOf(jobUid: string, taskIndex: number, number: number): string {
  return `${jobUid}/${taskIndex}/${number}`;
}
