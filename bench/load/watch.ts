/**
 * A part: many watchers over gRPC. It counts what comes, and can record when each event came to each watcher and what each
 * frame stood for, so that afterwards, with the history at hand, it can tell what was lost and how long it took.
 */

import { answer } from "../part.js";
import { percentile } from "../statistics.js";
import { Fields, Messages } from "./grpc.js";
import { encodeHead, Http2Connection } from "./http2.js";
import { Template } from "./messages.js";

export interface WatchTarget {
  readonly url: string;
  readonly path: string;
  /** A WatchJobRequest with its envelope; a place for a domain is filled with the watcher's number (see messages.ts). */
  readonly body: Uint8Array;
  readonly watchers: number;
  readonly streamsPerConnection: number;
}

export interface SnapshotOptions extends Pick<WatchTarget, "url" | "path" | "body"> {
  readonly frames: number;
  readonly seconds: number;
}

/** One event of the history. */
export interface Committed {
  readonly revision: number;
  readonly jobId: string;
  /** When its transaction was committed, in milliseconds since 1970. */
  readonly at: number;
}

export interface Verdict {
  /** Events of all watchers that no frame stood for. */
  readonly lost: number;
  readonly expected: number;
  /** Frames that stood for more than one event. */
  readonly merged: number;
  /** Milliseconds from the commit to the frame that stood for it. */
  readonly p50: number;
  readonly p99: number;
  readonly worst: number;
}

const SNAPSHOT_PATIENCE_MS = 30_000;
const EVENT = { type: 1, revision: 1000, from: 1001, toldEarly: 1002 } as const;
const TYPE = { error: 3, heartbeat: 4 } as const;
const GRPC_HEADERS = { "content-type": "application/grpc", te: "trailers", "user-agent": "muster-bench" };

/** Frames whose records are made room for at a time. */
const ROOM = 1024;

/**
 * What is kept of each frame while recording: `from`, `revision`, and when it came. Outside the heap, since millions of
 * numbers in it stop this process for as long as they take to be marked, and that would be measured as the server's delay.
 */
class Recording {
  readonly #rooms: Float64Array[] = [];
  #frames = 0;

  add(from: number, revision: number): void {
    const at = (this.#frames % ROOM) * 3;
    if (at === 0) this.#rooms.push(new Float64Array(ROOM * 3));
    this.#rooms.at(-1)?.set([from, revision, performance.now()], at);
    this.#frames += 1;
  }

  *#all(): Generator<{ from: number; revision: number; at: number }> {
    for (let i = 0; i < this.#frames; i += 1) {
      const [from = 0, revision = 0, at = Number.NaN] = this.#rooms[Math.floor(i / ROOM)]?.subarray((i % ROOM) * 3) ?? [];
      yield { from, revision, at: performance.timeOrigin + at };
    }
  }

  /** Each event's wait at this watcher, told to `heard`; returns how many were not heard of. */
  check(events: ReadonlyMap<number, Committed>, eventsOf: ReadonlyMap<string, readonly Committed[]>, heard: (ms: number) => void): { lost: number; merged: number } {
    const missing = new Set(events.keys());
    let merged = 0;
    for (const { from, revision, at } of this.#all()) {
      const last = events.get(revision);
      if (!last) continue;
      const told = from === revision ? [last] : (eventsOf.get(last.jobId) ?? []).filter((e) => e.revision >= from && e.revision <= revision);
      if (told.length > 1) merged += 1;
      for (const event of told) if (missing.delete(event.revision)) heard(at - event.at);
    }
    return { lost: missing.size, merged };
  }
}

class Watcher {
  recording: Recording | undefined;
  onEvent: (() => void) | undefined;
  events = 0;
  readonly opened: Promise<void>;
  readonly #messages = new Messages((message) => this.#take(message));
  #open: () => void = () => undefined;
  #fail: (error: Error) => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve, reject) => {
      this.#open = resolve;
      this.#fail = reject;
    });
    // Heard by `open`; a failure after that by `failure`.
    this.opened.catch(() => undefined);
  }

  data(bytes: Buffer): void {
    this.#messages.push(bytes);
  }

  end(): void {
    this.fail("the server has ended the watch");
  }

  fail(reason: string): void {
    failure ??= reason;
    this.#fail(new Error(reason));
  }

  #take(message: Buffer): void {
    const fields = new Fields(message, 0, message.length);
    let type = 0;
    let revision = 0;
    let from = 0;
    while (fields.next()) {
      if (fields.number === EVENT.type) type = fields.value;
      else if (fields.number === EVENT.revision || fields.number === EVENT.toldEarly) revision = fields.value;
      else if (fields.number === EVENT.from) from = fields.value;
    }
    if (type === TYPE.heartbeat) return this.#open();
    if (type === TYPE.error) return this.fail(`an ERROR event: ${message.toString("latin1")}`);
    this.events += 1;
    this.recording?.add(from, revision);
    this.onEvent?.();
  }
}

let connections: Http2Connection[] = [];
let watchers: Watcher[] = [];
let failure: string | undefined;

const methods = {
  /** Resolves when every watcher has its first heartbeat: the snapshot is over. */
  async open({ url, path, body, watchers: count, streamsPerConnection }: WatchTarget): Promise<void> {
    methods.close();
    const head = encodeHead(url, path, GRPC_HEADERS);
    const template = new Template(Buffer.from(body));
    watchers = Array.from({ length: count }, () => new Watcher());
    for (let first = 0; first < count; first += streamsPerConnection) {
      const connection = await Http2Connection.open(url);
      connections.push(connection);
      const own = watchers.slice(first, first + streamsPerConnection);
      own.forEach((watcher, i) => connection.request(head, template.with(0, first + i), watcher));
      await Promise.all(own.map((watcher) => watcher.opened));
    }
  },
  /** Milliseconds until a new watcher has so many frames of its snapshot: the median of as many as the time allows. */
  async snapshots({ url, path, body, frames, seconds }: SnapshotOptions): Promise<number> {
    const head = encodeHead(url, path, GRPC_HEADERS);
    const times: number[] = [];
    for (const begin = performance.now(); performance.now() - begin < seconds * 1000; ) {
      const connection = await Http2Connection.open(url);
      const sent = performance.now();
      let patience: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve, reject) => {
        const watcher = new Watcher();
        watcher.onEvent = () => watcher.events === frames && resolve();
        const onlySoMany = (): void => reject(new Error(`the snapshot has only ${watcher.events} of ${frames} frames`));
        watcher.opened.then(onlySoMany, reject);
        patience = setTimeout(onlySoMany, SNAPSHOT_PATIENCE_MS);
        connection.request(head, Buffer.from(body), watcher);
      }).finally(() => clearTimeout(patience));
      times.push(performance.now() - sent);
      connection.close();
    }
    failure = undefined;
    return percentile(times, 0.5);
  },
  /** Frames with a job so far, of all watchers together. */
  events: () => watchers.reduce((sum, watcher) => sum + watcher.events, 0),
  /** Resolves when the watchers have got so many frames together. */
  async until({ events, seconds }: { events: number; seconds: number }): Promise<boolean> {
    for (const begin = performance.now(); performance.now() - begin < seconds * 1000; ) {
      if (methods.events() >= events) return true;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return false;
  },
  record(): void {
    for (const watcher of watchers) watcher.recording = new Recording();
  },
  /** Holds what was recorded against the history of the same time, and forgets it. */
  verify(committed: readonly Committed[]): Verdict {
    if (failure !== undefined) throw new Error(failure);
    const events = new Map(committed.map((event) => [event.revision, event]));
    const eventsOf = new Map<string, Committed[]>();
    for (const event of committed) {
      const known = eventsOf.get(event.jobId);
      if (known) known.push(event);
      else eventsOf.set(event.jobId, [event]);
    }
    const waits = new Float64Array(committed.length * watchers.length);
    let heard = 0;
    let lost = 0;
    let merged = 0;
    for (const watcher of watchers) {
      const result = watcher.recording?.check(events, eventsOf, (ms) => {
        waits[heard] = ms;
        heard += 1;
      });
      lost += result?.lost ?? committed.length;
      merged += result?.merged ?? 0;
      watcher.recording = undefined;
    }
    const taken = waits.subarray(0, heard);
    const expected = committed.length * watchers.length;
    return { lost, expected, merged, p50: percentile(taken, 0.5), p99: percentile(taken, 0.99), worst: percentile(taken, 1) };
  },
  close(): void {
    for (const connection of connections) connection.close();
    connections = [];
    watchers = [];
    failure = undefined;
  },
};

export type WatchLoad = typeof methods;
answer(methods);
