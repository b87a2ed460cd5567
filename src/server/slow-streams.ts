/**
 * Requests over HTTP/2 whose body is still to come. Node has no timeout for them. One look at the oldest from time to
 * time costs less than a timer for each: most are over within a millisecond.
 *
 * They are linked to each other, and not in a Map: one that has left holds nothing, and is held by nothing, so that the
 * garbage collector finds it young.
 */

import { constants, type ServerHttp2Stream } from "node:http2";

const LOOKS_PER_LIMIT = 8;

interface Entry {
  readonly stream: ServerHttp2Stream;
  readonly since: number;
  older: Entry | undefined;
  newer: Entry | undefined;
}

export class SlowStreams {
  private oldest: Entry | undefined;
  private newest: Entry | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly limitMs: number) {}

  /** Gives what takes it out again, to be called once when the stream has closed. */
  add(stream: ServerHttp2Stream): () => void {
    const entry: Entry = { stream, since: performance.now(), older: this.newest, newer: undefined };
    if (this.newest) this.newest.newer = entry;
    else this.oldest = entry;
    this.newest = entry;
    return () => this.remove(entry);
  }

  start(): void {
    this.timer ??= setInterval(() => this.look(), this.limitMs / LOOKS_PER_LIMIT);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Each is looked at once: an answer that has begun within the time may take as long as it likes. */
  private look(): void {
    const latest = performance.now() - this.limitMs;
    while (this.oldest && this.oldest.since <= latest) {
      const { stream } = this.oldest;
      this.remove(this.oldest);
      const answering = stream.headersSent && !stream.writableFinished;
      if (!stream.readableEnded && !answering) stream.close(constants.NGHTTP2_CANCEL);
    }
  }

  private remove(entry: Entry): void {
    const { older, newer } = entry;
    if (older) older.newer = newer;
    else if (this.oldest === entry) this.oldest = newer;
    if (newer) newer.older = older;
    else if (this.newest === entry) this.newest = older;
    entry.older = entry.newer = undefined;
  }
}
