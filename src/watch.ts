/**
 * The hub: follows the store's events by revision and fans frames out to watchers.
 *
 * One reader per process. What this process commits itself is handed over by the writer, as it is now; where something
 * came between, a hint (a notification, a reconnect, a slow poll) makes the hub read the window of revisions since its
 * position: which jobs changed, and how they are now, in one statement. Each changed job becomes one frame, stamped with
 * its last revision; frames go out in revision order. A frame is a status, not a delta: what happened to a job between
 * two frames is merged, and `from..revision` says which revisions it stands for.
 *
 * A watcher first gets its opening (the present jobs, or the history after a revision), then a Heartbeat, then what the
 * hub has. It registers before the first page is read, so nothing falls between; what a page contains already is dropped
 * by revision.
 *
 * A slow watcher holds at most one frame per job, the latest, beside those that it is being told; the merged one goes to
 * the tail. If even that passes a bound of jobs, or of their tasks, the watch ends with an Error that says from where to go on, and the others notice
 * nothing.
 *
 * Without watchers nothing is read; the first one begins at the newest revision.
 */

import { JobError } from "./core/error.js";
import type { Actor } from "./core/job.js";
import { Poked } from "./service.js";
import { changesAfter, type Commit } from "./store/changes.js";
import { newestRevision } from "./store/events.js";
import type { Pool } from "./store/pool.js";
import { frameFromChange, type JobFrame, type WatchItem, type WatchOptions } from "./watch/frame.js";
import { type Opening, openingOf, WINDOW } from "./watch/opening.js";
import { Subscription } from "./watch/subscription.js";
import { Turns } from "./watch/turns.js";

export type { JobFrame, JobFrameKind, WatchFilter, WatchItem, WatchOptions, WatchStart } from "./watch/frame.js";

/** One watch, pulled by whoever sends it on. */
export interface OpenWatch {
  /** The next item that is ready; undefined where none is. Nothing follows an Error. */
  next(): WatchItem | undefined;
  /** True once nothing more comes: after an Error, the caller's signal, or the hub's stop. */
  readonly ended: boolean;
  /** The caller takes no more. Idempotent. */
  close(): void;
}

export interface Hub {
  /**
   * The opening, one Heartbeat that ends it, then changes in revision order. `wake` is called when `next` may have
   * something, or the watch has ended. Throws ResourceExhausted where the caller's credential has too many open.
   */
  open(options: WatchOptions, wake: () => void): OpenWatch;
}

export interface HubOptions {
  readonly pool: Pool;
  /** A Heartbeat follows this long after the last item. */
  readonly heartbeatMs: number;
  /** Watches that each credential may have open at once; left out = any number. */
  readonly maxWatches?: number;
  /** Jobs a slow watcher may lag behind with, and tasks that these jobs may have together. */
  readonly queueSize?: number;
  readonly queueTasks?: number;
  readonly onFault: (error: unknown) => void;
}

/** The items of a watch, for who takes them one by one. It is open at once; the signal ends one that nobody takes from. */
export function watchItems(hub: Hub, options: WatchOptions): AsyncGenerator<WatchItem, void, undefined> {
  let wake: (() => void) | undefined;
  const watch = hub.open(options, () => wake?.());
  return take();

  async function* take(): AsyncGenerator<WatchItem, void, undefined> {
    try {
      for (;;) {
        const item = watch.next();
        if (item) yield item;
        else if (watch.ended) return;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      watch.close();
    }
  }
}

export class WatchHub implements Hub {
  readonly #options: HubOptions;
  /** Each watcher is in one of these: by its jobs, by its domain, or among all. */
  readonly #byJob = new Map<string, Set<Subscription>>();
  readonly #byDomain = new Map<string, Set<Subscription>>();
  readonly #others = new Set<Subscription>();
  readonly #subscriptions = new Set<Subscription>();
  /** How many there are, by credential. */
  readonly #counts = new Map<string, number>();
  readonly #reader: Poked;
  /** Of the openings' reads. */
  readonly #turns: Turns;
  #position = 0n;
  /** Nobody watched for a while, so the position is behind; settles when it is at the newest revision again. */
  #stale = true;
  #refreshing: Promise<void> | undefined;
  #stopped = false;

  constructor(options: HubOptions) {
    this.#options = options;
    // A failed read is made up for by the listener's next hint: it pokes on reconnect and on its slow poll.
    this.#reader = new Poked(() => this.#read(), options.onFault);
    // However many watches are opened at once, a connection is left for the others.
    this.#turns = new Turns(Math.max(1, options.pool.options.max - 1));
  }

  get watchers(): number {
    return this.#subscriptions.size;
  }

  /** By credential; `none` where none is asked for. */
  get watchersByCredential(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** Ends every watch; idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const subscription of this.#subscriptions) subscription.end();
    await this.#reader.stop();
  }

  /** There may be something new, up to the revision where one is said. Many pokes make one read. */
  poke(revision?: bigint): void {
    if (revision === undefined || revision > this.#position) this.#reader.poke();
  }

  /** What this process has committed. It need not be read where nothing came between. */
  take(commit: Commit): void {
    if (this.#isIdle()) return;
    if (commit.changes === null || commit.first !== this.#position + 1n) return this.poke();
    this.#publish(commit.changes.map(frameFromChange), commit.last);
  }

  #isIdle(): boolean {
    if (this.#subscriptions.size === 0) this.#stale = true;
    return this.#stale;
  }

  async #read(): Promise<void> {
    while (!this.#isIdle() && !this.#stopped) {
      const from = this.#position;
      const changes = await changesAfter(this.#options.pool, from, WINDOW);
      // Handed over, or begun anew, meanwhile.
      if (this.#position !== from || this.#stale) continue;
      if (changes.floor > from) {
        this.#fail("history between the last event and now is not kept any more; watch without resume_revision for the present jobs");
        this.#position = changes.revision > changes.floor ? changes.revision : changes.floor;
        return;
      }
      this.#publish(changes.jobs.map(frameFromChange), changes.revision);
      if (!changes.more) return;
    }
  }

  /** Resolves when the hub is at the newest revision, or was followed all the time. */
  async #ready(): Promise<void> {
    if (!this.#stale) return;
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    await this.#refreshing;
    // A hint that came while nobody was there to hear it.
    this.poke();
  }

  async #refresh(): Promise<void> {
    this.#position = await newestRevision(this.#options.pool);
    this.#stale = false;
  }

  /** Nobody is woken before everyone has all frames: of some of them alone it cannot be told from where to go on. */
  #publish(frames: readonly JobFrame[], upTo: bigint): void {
    const due: Subscription[] = [];
    const pushTo = (subscriptions: Iterable<Subscription>, frame: JobFrame): void => {
      for (const subscription of subscriptions) if (subscription.push(frame)) due.push(subscription);
    };
    for (const frame of frames) {
      const { jobId, domains } = frame.view.job;
      pushTo(this.#others, frame);
      if (this.#byJob.size > 0) pushTo(this.#byJob.get(jobId) ?? [], frame);
      if (this.#byDomain.size === 0) continue;
      for (const domain of Object.keys(domains)) pushTo(this.#byDomain.get(domain) ?? [], frame);
    }
    this.#position = upTo;
    for (const subscription of due) subscription.stir();
  }

  #fail(message: string): void {
    for (const subscription of this.#subscriptions) subscription.fail(message);
  }

  open(options: WatchOptions, wake: () => void): OpenWatch {
    const { pool, heartbeatMs, queueSize = 10_000, queueTasks = 100_000, maxWatches = Infinity, onFault } = this.#options;
    if ((this.#counts.get(credentialOf(options.actor)) ?? 0) >= maxWatches) {
      throw new JobError("ResourceExhausted", `this credential has ${maxWatches} open watches, as many as max-watches allows; end one first`);
    }
    const opening = openingOf(pool, options);
    const afterReady: Opening = {
      // Whatever is read after this moment, the hub follows from before it.
      load: async () => {
        await this.#ready();
        return this.#turns.run(async () => (subscription.takesPages ? opening.load() : undefined));
      },
      rest: (frame) => opening.rest(frame),
    };
    const subscription = new Subscription({
      watch: options,
      opening: afterReady,
      queueSize,
      queueTasks,
      heartbeatMs,
      position: () => this.#position,
      wake,
      onClose: (closed) => this.#remove(closed),
      onFault,
    });
    if (this.#stopped) subscription.end();
    if (!subscription.ended) this.#add(subscription);
    return subscription;
  }

  #add(subscription: Subscription): void {
    this.#subscriptions.add(subscription);
    this.#count(subscription, 1);
    const { filter, domain } = subscription;
    if (filter.jobIds) for (const jobId of filter.jobIds) addTo(this.#byJob, jobId, subscription);
    else if (domain !== null) addTo(this.#byDomain, domain, subscription);
    else this.#others.add(subscription);
  }

  #count({ actor }: Subscription, more: 1 | -1): void {
    const credential = credentialOf(actor);
    const count = (this.#counts.get(credential) ?? 0) + more;
    if (count === 0) this.#counts.delete(credential);
    else this.#counts.set(credential, count);
  }

  #remove(subscription: Subscription): void {
    // One that had ended before it was open was never among them.
    if (!this.#subscriptions.delete(subscription)) return;
    this.#count(subscription, -1);
    const { filter, domain } = subscription;
    if (filter.jobIds) for (const jobId of filter.jobIds) removeFrom(this.#byJob, jobId, subscription);
    else if (domain !== null) removeFrom(this.#byDomain, domain, subscription);
    else this.#others.delete(subscription);
  }
}

/** Watches without a credential, as on loopback, are counted together. */
function credentialOf(actor: Actor): string {
  return actor.credential ?? "none";
}

function addTo(index: Map<string, Set<Subscription>>, key: string, subscription: Subscription): void {
  const present = index.get(key);
  if (present) present.add(subscription);
  else index.set(key, new Set([subscription]));
}

function removeFrom(index: Map<string, Set<Subscription>>, key: string, subscription: Subscription): void {
  const present = index.get(key);
  present?.delete(subscription);
  if (present?.size === 0) index.delete(key);
}
