/**
 * One watcher's end of the hub. It is pulled: `next` gives what is ready, `wake` says that there may be something. First
 * comes the opening, page by page, then the queue, which holds at most one frame per job. What is in the queue is taken as
 * a page too, and told to its end before the next: so a job that never rests holds back nothing, itself included.
 */

import { maySee } from "../core/access.js";
import type { Actor } from "../core/job.js";
import { type JobFrame, EVERYTHING, lastFirst, type WatchFilter, type WatchItem, type WatchOptions } from "./frame.js";
import type { Opening } from "./opening.js";

export interface SubscriptionOptions {
  readonly watch: WatchOptions;
  readonly opening: Opening;
  /** Jobs that the watcher may lag behind with, and tasks that these jobs may have together; one job may always wait. */
  readonly queueSize: number;
  readonly queueTasks: number;
  /** A Heartbeat follows this long after the last item. */
  readonly heartbeatMs: number;
  /** The hub's revision. */
  readonly position: () => bigint;
  /** There may be something to take, or the watch has ended. */
  readonly wake: () => void;
  readonly onClose: (subscription: Subscription) => void;
  readonly onFault: (error: unknown) => void;
}

export class Subscription {
  readonly filter: WatchFilter;
  readonly #options: SubscriptionOptions;
  readonly #queue = new Map<string, JobFrame>();
  /** Of all the jobs in the queue. */
  #queuedTasks = 0;
  /** What is told now, the last one first, so that what has been told is let go. */
  #page: JobFrame[] = [];
  #loading = false;
  #opened = false;
  /** More jobs changed during the opening than may wait: the opening has to read on before it is over. */
  #missed = false;
  /** Told as the next Heartbeat. */
  #heartbeat: bigint | "latest" | undefined;
  #failure: string | undefined;
  /** Everything up to here has been told; 0 in a snapshot. */
  #reached: bigint;
  /** Something was pushed that `wake` has not told of. */
  #stirred = false;
  #ended = false;
  #closed = false;
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort = () => this.end();

  constructor(options: SubscriptionOptions) {
    this.#options = options;
    const { signal, start, filter = EVERYTHING } = options.watch;
    this.filter = filter;
    this.#reached = start?.kind === "After" ? start.revision : 0n;
    this.#timer = setInterval(() => this.#beQuiet(), options.heartbeatMs);
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.end();
  }

  get actor(): Actor {
    return this.#options.watch.actor;
  }

  /** True once nothing more comes. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Where the watcher's changes are looked for: under these jobs, under this domain, or under everything. */
  get domain(): string | null {
    return this.filter.domain ?? (this.actor.role === "domain" ? this.actor.domain : null);
  }

  #wants({ kind, view: { job } }: JobFrame): boolean {
    const { jobIds, domain, states } = this.filter;
    if (jobIds && !jobIds.has(job.jobId)) return false;
    if (domain !== null && !Object.hasOwn(job.domains, domain)) return false;
    if (states && kind !== "Deleted" && !states.has(job.state)) return false;
    return maySee(this.actor, job);
  }

  /** False once the opening is of no use any more. */
  get takesPages(): boolean {
    return !this.#ended && this.#failure === undefined;
  }

  /** True where `stir` is due: once what belongs together has been pushed. */
  push(frame: JobFrame): boolean {
    if (this.#ended || this.#failure !== undefined || this.#missed || !this.#wants(frame)) return false;
    const { uid } = frame.view.job;
    const waiting = this.#queue.get(uid);
    const excess = waiting ? undefined : this.#excess(frame);
    if (waiting) {
      // To the tail, since frames are told in the order of their revisions.
      this.#queue.delete(uid);
      const kind = waiting.kind === "Added" && frame.kind === "Modified" ? "Added" : frame.kind;
      this.#queue.set(uid, { ...frame, kind, from: waiting.from });
    } else if (excess === undefined) {
      this.#queue.set(uid, frame);
      this.#queuedTasks += frame.view.tasks.length;
    } else if (this.#opened) {
      this.fail(`the watch is more than ${excess} behind; watch again, with resume_revision where this event has a revision`);
      return false;
    } else {
      this.#missed = true;
      this.#clearQueue();
    }
    if (!this.#opened || this.#stirred) return false;
    this.#stirred = true;
    return true;
  }

  /** The bound that the queue would pass with one more frame. */
  #excess({ view }: JobFrame): string | undefined {
    const { queueSize, queueTasks } = this.#options;
    if (this.#queue.size >= queueSize) return `${queueSize} jobs`;
    const tooMuch = this.#queue.size > 0 && this.#queuedTasks + view.tasks.length > queueTasks;
    return tooMuch ? `${queueTasks} tasks` : undefined;
  }

  #clearQueue(): void {
    this.#queue.clear();
    this.#queuedTasks = 0;
  }

  stir(): void {
    this.#stirred = false;
    this.#options.wake();
  }

  /** What waits is dropped, and the Error is the last item. */
  fail(message: string): void {
    this.#failure ??= message;
    this.#clearQueue();
    this.#page = [];
    this.#options.wake();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#clearQueue();
    this.#page = [];
    this.close();
    this.#options.wake();
  }

  /** The caller has stopped taking. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ended = true;
    this.#clearQueue();
    this.#page = [];
    clearInterval(this.#timer);
    this.#options.watch.signal.removeEventListener("abort", this.#onAbort);
    this.#options.onClose(this);
  }

  #beQuiet(): void {
    if (!this.#opened || this.#heartbeat !== undefined) return;
    this.#heartbeat = "latest";
    this.#options.wake();
  }

  /** The next item that is ready; undefined where none is. */
  next(): WatchItem | undefined {
    const item = this.#take();
    if (!item) return undefined;
    if (item.kind === "Error") this.close();
    else {
      this.#timer.refresh();
      if (item.kind === "Heartbeat" || !item.inSnapshot) this.#reached = item.revision;
    }
    return item;
  }

  #take(): WatchItem | undefined {
    if (this.#ended) return undefined;
    if (this.#failure !== undefined) return { kind: "Error", message: this.#failure, revision: this.#reached };
    if (!this.#opened) return this.#takeOpening();
    if (this.#heartbeat !== undefined && this.#heartbeat !== "latest") return this.#takeHeartbeat(this.#heartbeat);
    if (this.#page.length === 0 && this.#queue.size > 0) {
      this.#page = lastFirst([...this.#queue.values()].flatMap((frame) => this.#options.opening.rest(frame) ?? []));
      this.#clearQueue();
    }
    const frame = this.#page.pop();
    if (frame) {
      this.#heartbeat = undefined;
      return frame;
    }
    return this.#heartbeat === undefined ? undefined : this.#takeHeartbeat(this.#latest());
  }

  /** With nothing left in the queue and the page all that the hub knows has been told. */
  #latest(): bigint {
    const position = this.#options.position();
    return position > this.#reached ? position : this.#reached;
  }

  #takeHeartbeat(revision: bigint): WatchItem {
    this.#heartbeat = undefined;
    return { kind: "Heartbeat", revision };
  }

  #takeOpening(): JobFrame | undefined {
    const frame = this.#page.pop();
    if (!frame && !this.#loading) {
      this.#loading = true;
      void this.#load();
    }
    return frame;
  }

  async #load(): Promise<void> {
    try {
      const page = await this.#options.opening.load();
      if (!page || !this.takesPages) return;
      if (page.kind === "Failed") {
        // What it was to go on from is worth nothing.
        this.#reached = 0n;
        return this.fail(page.message);
      }
      if (page.kind === "Over" && this.#missed) {
        // All that was missed is visible to the next page, which is asked for from here on.
        this.#missed = false;
      } else if (page.kind === "Over") {
        this.#opened = true;
        this.#heartbeat = page.revision;
      } else {
        this.#page = lastFirst(page.frames.filter((frame) => this.#wants(frame)));
      }
    } catch (error) {
      this.#options.onFault(error);
      this.fail("the jobs cannot be read now; watch again, with resume_revision where this event has a revision");
      return;
    } finally {
      this.#loading = false;
    }
    this.#options.wake();
  }
}
