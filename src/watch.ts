/**
 * The hub: follows the store's events by revision and fans frames out to watchers.
 *
 * One reader per process. Each hint (a notification, a reconnect, a slow poll) makes it read the window of revisions since
 * its position: which jobs changed, and how they are now, in one statement. Each changed job becomes one frame, stamped
 * with its last revision in the window; frames go out in revision order. A frame is a status, not a delta: what happened
 * to a job between two frames is merged, and `from..revision` says which revisions it stands for.
 *
 * A watcher first gets the present jobs, page by page, then a Heartbeat, then what the hub has. It registers before the
 * first page is read, so nothing falls between; frames that a page already contains are dropped by revision.
 *
 * A slow watcher holds at most one frame per job, the latest; the merged one goes to the tail. If even that passes a
 * bound, the watch ends with an Error, and the others notice nothing.
 */

import { maySee } from "./core/access.js";
import type { Actor } from "./core/job.js";
import { Poked } from "./service.js";
import { changesAfter, type JobChange } from "./store/changes.js";
import { newestRevision } from "./store/events.js";
import type { Pool } from "./store/pool.js";
import { FIRST_UID, newestUid, viewsPage } from "./store/views.js";
import type { JobFrame, WatchItem } from "./watch/frame.js";
import { Subscription } from "./watch/subscription.js";

export type { JobFrame, JobFrameKind, WatchItem } from "./watch/frame.js";

export interface WatchOptions {
  readonly actor: Actor;
  /** The caller's end; the iteration finishes when it aborts. */
  readonly signal: AbortSignal;
}

export interface Hub {
  /**
   * Present jobs as Added, one Heartbeat that ends this snapshot, then changes in revision order. Returns when the signal
   * aborts or the hub stops.
   */
  watch(options: WatchOptions): AsyncIterable<WatchItem>;
}

export interface HubOptions {
  readonly pool: Pool;
  /** A Heartbeat follows this long after the last item. */
  readonly heartbeatMs: number;
  /** Jobs a slow watcher may lag behind with. */
  readonly queueSize?: number;
  readonly onFault: (error: unknown) => void;
}

/** Revisions read at once. */
const WINDOW = 5_000n;
const PAGE = 200;

export class WatchHub implements Hub {
  readonly #options: HubOptions;
  readonly #subscriptions = new Set<Subscription>();
  readonly #reader: Poked;
  #position = 0n;
  #stopped = false;

  constructor(options: HubOptions) {
    this.#options = options;
    // A failed read is made up for by the listener's next hint: it pokes on reconnect and on its slow poll.
    this.#reader = new Poked(() => this.#read(), options.onFault);
  }

  get watchers(): number {
    return this.#subscriptions.size;
  }

  async start(): Promise<void> {
    this.#position = await newestRevision(this.#options.pool);
  }

  /** Ends every watch; idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const subscription of this.#subscriptions) subscription.end();
    await this.#reader.stop();
  }

  /** There may be something new. Many pokes make one read. */
  poke(): void {
    this.#reader.poke();
  }

  async #read(): Promise<void> {
    for (;;) {
      const changes = await changesAfter(this.#options.pool, this.#position, WINDOW);
      if (changes.floor > this.#position) {
        this.#fail("history between the last change and now has been pruned; watch again for the present jobs");
        this.#position = changes.revision > changes.floor ? changes.revision : changes.floor;
        return;
      }
      this.#position = changes.revision;
      for (const change of changes.jobs) this.#publish(frameFromChange(change));
      if (!changes.more || this.#stopped) return;
    }
  }

  #publish(frame: JobFrame): void {
    for (const subscription of this.#subscriptions) {
      if (maySee(subscription.actor, frame.view.job)) subscription.push(frame);
    }
  }

  #fail(message: string): void {
    for (const subscription of this.#subscriptions) subscription.fail(message);
  }

  async *watch(options: WatchOptions): AsyncGenerator<WatchItem, void, undefined> {
    if (this.#stopped || options.signal.aborted) return;
    const subscription = new Subscription(options.actor, options.signal, this.#options.queueSize ?? 10_000);
    this.#subscriptions.add(subscription);
    try {
      const snapshot = new Snapshot();
      for await (const frame of this.#present(options, snapshot)) yield frame;
      if (options.signal.aborted || this.#stopped) return;
      yield { kind: "Heartbeat", revision: snapshot.revision ?? this.#position };
      for (;;) {
        const next = await subscription.next(this.#options.heartbeatMs);
        if (next === "ended") return;
        if (next === "quiet") yield { kind: "Heartbeat", revision: this.#position };
        else if (next.kind === "Error") {
          yield next;
          return;
        } else {
          const frame = snapshot.after(next);
          if (frame) yield frame;
        }
      }
    } finally {
      this.#subscriptions.delete(subscription);
      subscription.close();
    }
  }

  /** The jobs that are there now, in the order in which they were made. Each page is as of its own moment. */
  async *#present(options: WatchOptions, snapshot: Snapshot): AsyncGenerator<JobFrame, void, undefined> {
    const last = await newestUid(this.#options.pool);
    let after = FIRST_UID;
    while (after < last && !options.signal.aborted && !this.#stopped) {
      const { revision, views } = await viewsPage(this.#options.pool, after, last, PAGE);
      const pageEnd = views.length < PAGE ? last : (views.at(-1)?.job.uid ?? last);
      snapshot.addPage(pageEnd, revision);
      // The first page's revision for all: what changed in an early page while a later one was read comes after it.
      const stamp = snapshot.revision ?? revision;
      for (const view of views) {
        if (maySee(options.actor, view.job)) yield { kind: "Added", from: stamp, revision: stamp, view };
      }
      after = pageEnd;
    }
  }
}

function frameFromChange(change: JobChange): JobFrame {
  const kind = change.deleted ? "Deleted" : change.created ? "Added" : "Modified";
  return { kind, from: change.first, revision: change.last, view: change.view };
}

/** Which revisions a watcher's snapshot contains, per range of uids. */
class Snapshot {
  readonly #pages: { readonly lastUid: string; readonly revision: bigint }[] = [];

  /** The revision that the whole snapshot contains at least; undefined where there was no page. */
  get revision(): bigint | undefined {
    return this.#pages[0]?.revision;
  }

  addPage(lastUid: string, revision: bigint): void {
    this.#pages.push({ lastUid, revision });
  }

  /** The frame as this watcher needs it: nothing where the snapshot had it, Modified where the job is known already. */
  after(frame: JobFrame): JobFrame | undefined {
    const page = this.#pages.find((p) => frame.view.job.uid <= p.lastUid);
    if (!page) return frame;
    if (frame.revision <= page.revision) return undefined;
    return frame.kind === "Added" && frame.from <= page.revision ? { ...frame, kind: "Modified" } : frame;
  }
}
