/** One watcher's end of the hub: a queue with at most one frame per job, and a way to wait for the next. */

import type { Actor } from "../core/job.js";
import type { JobFrame, WatchItem } from "./frame.js";

type ErrorItem = Extract<WatchItem, { kind: "Error" }>;

export class Subscription {
  readonly #queue = new Map<string, JobFrame>();
  #failure: ErrorItem | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #onAbort = () => this.end();

  constructor(
    readonly actor: Actor,
    readonly signal: AbortSignal,
    readonly queueSize: number,
  ) {
    signal.addEventListener("abort", this.#onAbort, { once: true });
    if (signal.aborted) this.end();
  }

  push(frame: JobFrame): void {
    if (this.#ended || this.#failure) return;
    const { uid } = frame.view.job;
    const waiting = this.#queue.get(uid);
    if (waiting) {
      // To the tail, so that what was sent is always everything up to the revision sent last.
      this.#queue.delete(uid);
      const kind = waiting.kind === "Added" && frame.kind === "Modified" ? "Added" : frame.kind;
      this.#queue.set(uid, { ...frame, kind, from: waiting.from });
    } else if (this.#queue.size >= this.queueSize) {
      this.fail(`the watch is more than ${this.queueSize} jobs behind; watch again for the present state`);
    } else this.#queue.set(uid, frame);
    this.#wake?.();
  }

  /** What waits is dropped, and the Error is the last item. */
  fail(message: string): void {
    this.#failure ??= { kind: "Error", message };
    this.#queue.clear();
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#queue.clear();
    this.#wake?.();
  }

  close(): void {
    this.end();
    this.signal.removeEventListener("abort", this.#onAbort);
  }

  /** The next frame; `quiet` where none came for `quietMs`; `ended` after the caller's end. */
  async next(quietMs: number): Promise<JobFrame | ErrorItem | "quiet" | "ended"> {
    const ready = this.#take();
    if (ready) return ready;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, quietMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
    return this.#take() ?? "quiet";
  }

  #take(): JobFrame | ErrorItem | "ended" | undefined {
    if (this.#ended) return "ended";
    if (this.#failure) return this.#failure;
    for (const [uid, frame] of this.#queue) {
      this.#queue.delete(uid);
      return frame;
    }
    return undefined;
  }
}
