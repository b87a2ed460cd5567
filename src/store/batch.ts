/**
 * Natural batching of writes.
 *
 * Writes queue while a batch is in flight; when it lands, all that wait go as the next one. Alone, a write pays no
 * waiting; under load the round trips, the lock and the flush are shared. One batch is:
 *
 *   read    one statement: the jobs that its writes touch, unless they are kept (kept-jobs.ts) or new
 *   fold    the moves run in memory, per job in the order of arrival, on one draft per job
 *   save    one statement (`save_batch`): rows by compare-and-set on the job's version, revisions, events, one NOTIFY
 *   answer  each write of a job that won hears its own outcome; writes of a job that lost are folded again
 *
 * An outcome is told only after the save, refusals too, since they may rest on a move of the same batch. A failing batch is
 * retried write by write, so one poisoned write fails alone. Where the connection broke the outcome is unknown: the
 * writes are folded again on what is there then. So a move must answer a repeat of itself as the first time; only a
 * Delete hears NotFound then.
 */

import { setTimeout as delay } from "node:timers/promises";
import { JobError } from "../core/error.js";
import type { Instant } from "../core/job.js";
import type { Commit } from "./changes.js";
import { Commits } from "./commits.js";
import { type ChangeRequest, type CreateRequest, type Entry, Fold, isCreate, keyOf, needsOf, type Outcome, type Write } from "./fold.js";
import { brokenConstraint, isTransient, type Pool, storeError } from "./pool.js";
import { KeptImages } from "./kept-images.js";
import { KeptJobs } from "./kept-jobs.js";
import { saveDrafts } from "./save.js";
import { loadSlices } from "./slices.js";

export type { ChangeRequest, CreateContext, CreateRequest } from "./fold.js";

export interface WriterOptions {
  readonly pool: Pool;
  readonly now: () => Instant;
  /** Writes per batch. */
  readonly batchSize?: number;
  /** So many must wait for a second batch to be opened beside the one that is under way. */
  readonly secondLaneFrom?: number;
  readonly batchBytes?: number;
  /** Writes that may wait; more are refused with ResourceExhausted. */
  readonly queueSize?: number;
  readonly queueBytes?: number;
  /** How long a write may wait for the database to come back. */
  readonly patienceMs?: number;
  readonly onBatch?: (writes: number, jobs: number) => void;
  /** Told in the order of the revisions, as a rule before the writes of the batch are answered. */
  readonly onCommit?: (commit: Commit) => void;
  readonly onFault?: (error: unknown) => void;
}

const CHANGE_BYTES = 1_000;
const MAX_ROUNDS = 50;
/** Batches that are under way at once: while the database saves one, the moves of the other are folded. */
const LANES = 2;

export class Writer {
  readonly #options: Required<Omit<WriterOptions, "onBatch" | "onCommit" | "onFault">> &
    Pick<WriterOptions, "onBatch" | "onCommit" | "onFault">;
  #queue: Write[] = [];
  #queuedBytes = 0;
  #running: Promise<void> | undefined;
  #onAdded: (() => void) | undefined;
  #pause = 0;
  /** Jobs that are being written. */
  readonly #busy = new Set<string>();
  readonly #saving = new Set<Promise<unknown>>();
  readonly #commits: Commits;
  readonly #kept = new KeptJobs();
  readonly #images = new KeptImages();
  #closed = false;

  constructor(options: WriterOptions) {
    this.#options = {
      batchSize: 256,
      secondLaneFrom: 32,
      batchBytes: 8 << 20,
      queueSize: 20_000,
      queueBytes: 256 << 20,
      patienceMs: 20_000,
      ...options,
    };
    this.#commits = new Commits((commit) => this.#tell(commit));
  }

  /** Whether the revision is the last one of a batch of ours. A notification may be faster than the batch's own answer. */
  async wrote(revision: bigint): Promise<boolean> {
    if (!this.#commits.has(revision)) await Promise.allSettled(this.#saving);
    return this.#commits.has(revision);
  }

  change<T>(request: ChangeRequest<T>): Promise<T> {
    // The outcome's value is what `move` returned, so it has the request's own type.
    return this.#enqueue(request, CHANGE_BYTES) as Promise<T>;
  }

  /** `repeated` where the same job with the same content is there already. Errors: AlreadyExists, and those of `build`. */
  create(request: CreateRequest): Promise<{ repeated: boolean }> {
    // As above: a create settles with this shape only (see #foldCreate).
    return this.#enqueue(request, request.bytes) as Promise<{ repeated: boolean }>;
  }

  /** Refuses new writes and resolves when those that wait have been answered. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  /** What is saved is saved, whatever becomes of who hears of it: a failure here must not have the batch written again. */
  #tell(commit: Commit): void {
    try {
      this.#options.onCommit?.(commit);
    } catch (error) {
      this.#options.onFault?.(error);
    }
  }

  #enqueue(request: Write["request"], bytes: number): Promise<unknown> {
    if (this.#closed) return Promise.reject(new JobError("Unavailable", "the server is stopping"));
    const { queueSize, queueBytes } = this.#options;
    if (this.#queue.length >= queueSize || this.#queuedBytes + bytes > queueBytes) {
      return Promise.reject(new JobError("ResourceExhausted", "too many writes are waiting; try again later"));
    }
    return new Promise((resolve, reject) => {
      const settle = (outcome: Outcome) => ("error" in outcome ? reject(outcome.error) : resolve(outcome.value));
      this.#queue.push({ request, bytes, since: this.#options.now(), settle, whole: false, rounds: 0 });
      this.#queuedBytes += bytes;
      this.#running ??= this.#run();
      if (this.#queue.length >= this.#options.secondLaneFrom) this.#onAdded?.();
    });
  }

  async #run(): Promise<void> {
    // One turn of the event loop lets the requests of one network read share the first batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    const underWay = new Set<Promise<void>>();
    while (this.#queue.length > 0 || underWay.size > 0) {
      // A second batch pays only where many wait, and then they share: few are better off together in the next one.
      const many = this.#queue.length >= this.#options.secondLaneFrom;
      const free = (many ? LANES : 1) - underWay.size;
      const batch = free > 0 ? this.#take(Math.ceil(this.#queue.length / free)) : [];
      if (batch.length > 0) {
        const lane = this.#batch(batch).finally(() => underWay.delete(lane));
        underWay.add(lane);
      } else await Promise.race(underWay.size < LANES ? [...underWay, this.#added()] : underWay);
    }
    this.#running = undefined;
  }

  /** Resolves when a write has come in that another lane may be opened for: those before it may all be of busy jobs. */
  #added(): Promise<void> {
    return new Promise((resolve) => {
      this.#onAdded = resolve;
    });
  }

  async #batch(batch: readonly Write[]): Promise<void> {
    const again = await this.#process(batch).catch((error: unknown) => this.#failed(batch, error));
    this.#pause = again.backOff ? Math.min(1_000, this.#pause * 2 || 25) : 0;
    if (this.#pause > 0) await delay(this.#pause);
    for (const write of batch) this.#busy.delete(keyOf(write.request));
    for (const write of again.writes) this.#queuedBytes += write.bytes;
    this.#queue = [...again.writes, ...this.#queue];
  }

  /** The next batch, in the order of arrival. Writes of a job that is being written wait, with all that follow for that job. */
  #take(share: number): Write[] {
    const { batchBytes } = this.#options;
    const batchSize = Math.min(share, this.#options.batchSize);
    const taken: Write[] = [];
    const left: Write[] = [];
    const waiting = new Set(this.#busy);
    let bytes = 0;
    let full = false;
    for (const write of this.#queue) {
      const key = keyOf(write.request);
      full ||= taken.length > 0 && (taken.length >= batchSize || bytes + write.bytes > batchBytes);
      if (full || waiting.has(key)) {
        waiting.add(key);
        left.push(write);
        continue;
      }
      bytes += write.bytes;
      taken.push(write);
    }
    for (const write of taken) this.#busy.add(keyOf(write.request));
    this.#queuedBytes -= bytes;
    this.#queue = left;
    return taken;
  }

  /** Decides what becomes of a batch that threw: wait for the database, try each write alone, or give up. */
  async #failed(batch: readonly Write[], error: unknown): Promise<{ writes: Write[]; backOff: boolean }> {
    // They may have been saved after all.
    for (const { request } of batch) if (!isCreate(request) && "uid" in request.target) this.#kept.forget(request.target.uid);
    if (isTransient(error)) {
      const now = this.#options.now();
      const patient = batch.filter((write) => now - write.since < this.#options.patienceMs);
      for (const write of batch) if (!patient.includes(write)) write.settle({ error: storeError(error) });
      return { writes: patient, backOff: true };
    }
    const [only, ...others] = batch;
    if (only && others.length === 0) {
      if (takenMeanwhile(error) && only.rounds < MAX_ROUNDS) {
        only.rounds += 1;
        return { writes: [only], backOff: false };
      }
      this.#options.onFault?.(error);
      only.settle({ error: storeError(error) });
      return { writes: [], backOff: false };
    }
    const again: Write[] = [];
    let backOff = false;
    for (const write of batch) {
      const alone = await this.#process([write]).catch((cause: unknown) => this.#failed([write], cause));
      again.push(...alone.writes);
      backOff ||= alone.backOff;
    }
    return { writes: again, backOff };
  }

  /** Read, fold, save, answer. Returns the writes that have to be folded again. */
  async #process(batch: readonly Write[]): Promise<{ writes: Write[]; backOff: boolean }> {
    const { needs, known } = needsOf(batch, { jobs: this.#kept, images: this.#images });
    const loaded = await loadSlices(this.#options.pool, needs);
    this.#images.keep(needs.images, loaded);
    const now = this.#options.now();
    const { entries, refused, later } = new Fold(loaded, known, now).run(batch);
    const usable = (entry: Entry): boolean => !entry.needsWhole && !entry.broken;
    const changed = entries.filter((entry) => usable(entry) && entry.draft.changed);
    const won = changed.length === 0 ? new Set<string>() : await this.#save(changed, now);
    this.#options.onBatch?.(batch.length, changed.length);
    const again: Write[] = [];
    // A refused create may rest on another create of the batch: where one of those lost, nothing is sure.
    const sure = entries.every((entry) => !entry.isNew || won.has(entry.draft.job.uid));
    for (const { write, outcome } of refused) {
      if (sure || !isCreate(write.request)) write.settle(outcome);
      else again.push(write);
    }
    for (const entry of entries) {
      const saved = usable(entry) && (won.has(entry.draft.job.uid) || !(entry.draft.changed || entry.kept));
      if (!saved || entry.draft.deleted) this.#kept.forget(entry.draft.job.uid);
      for (const { write, outcome, final } of entry.told) {
        if (saved || final) write.settle(outcome);
        else if (write.rounds >= MAX_ROUNDS) {
          write.settle({ error: new JobError("Unavailable", "the job is changed too often at once; try again") });
        } else {
          write.rounds += 1;
          write.whole ||= entry.needsWhole;
          again.push(write);
        }
      }
    }
    return { writes: [...again, ...later], backOff: false };
  }

  async #save(changed: readonly Entry[], now: Instant): Promise<ReadonlySet<string>> {
    const saving = saveDrafts(this.#options.pool, changed, now);
    this.#saving.add(saving);
    try {
      const { won, commit, saved } = await saving;
      for (const { draft, job } of saved) this.#kept.keep(draft, job);
      this.#saving.delete(saving);
      if (commit) this.#commits.add(commit, [...this.#saving]);
      return won;
    } finally {
      this.#saving.delete(saving);
    }
  }
}

/** Another server took the same task_id or request_id at once: reading again tells what the loser has to hear. */
function takenMeanwhile(error: unknown): boolean {
  const constraint = brokenConstraint(error);
  return constraint === "tasks_task_id_key" || constraint === "requests_pkey";
}
