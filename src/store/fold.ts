/**
 * One batch of writes in memory: which rows it needs, and what its moves make of them. The moves run per job in the order of
 * arrival, on one draft per job. What comes of it counts only once it is saved (batch.ts).
 */

import { JobError, jobNotFound } from "../core/error.js";
import type { Instant } from "../core/job.js";
import { JobDraft, NeedsWholeJob, type Slice } from "../core/moves/draft.js";
import type { KeptImages } from "./kept-images.js";
import type { KeptJobs } from "./kept-jobs.js";
import { type Loaded, type loadSlices, type RequestKey, requestName, type ResolvedImage } from "./slices.js";

/** A move of a job that is there. */
export interface ChangeRequest<T> {
  readonly target: { readonly uid: string } | { readonly jobId: string };
  /** The task that the move is about, or the whole job. */
  readonly touch: number | "whole";
  readonly move: (draft: JobDraft, now: Instant) => T;
}

/** What the rules of a new job may ask the store. */
export interface CreateContext {
  readonly now: Instant;
  readonly images: ReadonlyMap<string, ResolvedImage>;
  readonly takenTaskIds: ReadonlyMap<string, string>;
}

export interface CreateRequest {
  readonly jobId: string;
  readonly contentHash: string;
  readonly images: readonly string[];
  /** Those that the client chose. */
  readonly taskIds: readonly string[];
  readonly request: RequestKey | null;
  /** Size of the request, for the bound of what may wait. */
  readonly bytes: number;
  readonly build: (context: CreateContext) => JobDraft;
}

export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** A request in the queue, with who waits for its outcome. */
export interface Write {
  readonly request: ChangeRequest<unknown> | CreateRequest;
  readonly bytes: number;
  readonly since: number;
  readonly settle: (outcome: Outcome) => void;
  /** Set once a partial read was not enough. */
  whole: boolean;
  rounds: number;
}

/** One job in a batch, with the writes that were folded into it. */
export interface Entry {
  readonly draft: JobDraft;
  readonly isNew: boolean;
  /** The draft began from a kept job: what comes of it counts only once it is saved. */
  readonly kept: boolean;
  readonly request: RequestKey | null;
  readonly told: Told[];
  needsWhole: boolean;
  /** A move broke off half-way (a fault of ours): the draft is worth nothing, the other writes are folded again. */
  broken: boolean;
}

export interface Told {
  readonly write: Write;
  readonly outcome: Outcome;
  /** Stands whatever becomes of the entry's save. */
  readonly final?: boolean;
}

export function isCreate(request: Write["request"]): request is CreateRequest {
  return "build" in request;
}

/** What is known without reading. */
export interface Known {
  readonly jobs: ReadonlyMap<string, Slice>;
  readonly images: ReadonlyMap<string, ResolvedImage>;
  /** Creates that were not read for: their jobs are taken to be new. A save that finds one there says so. */
  readonly creates: ReadonlySet<Write>;
}

/** What has to be read for a batch, and what need not be. */
export function needsOf(
  batch: readonly Write[],
  kept: { readonly jobs: KeptJobs; readonly images: KeptImages },
): { needs: Parameters<typeof loadSlices>[1]; known: Known } {
  const jobs = new Map<string, Slice>();
  const images = new Map<string, ResolvedImage>();
  const creates = new Set<Write>();
  const needs = {
    wholeIds: [] as string[],
    wholeUids: [] as string[],
    parts: [] as { uid: string; taskIndex: number }[],
    images: new Set<string>(),
    taskIds: [] as string[],
    requests: [] as RequestKey[],
  };
  for (const write of batch) {
    const { request, whole } = write;
    if (isCreate(request)) {
      const resolved = canBeTakenAsNew(write, request) ? kept.images.all(request.images) : undefined;
      if (resolved) {
        creates.add(write);
        for (const [name, image] of resolved) images.set(name, image);
        continue;
      }
      needs.wholeIds.push(request.jobId);
      for (const image of request.images) needs.images.add(image);
      needs.taskIds.push(...request.taskIds);
      if (request.request) needs.requests.push(request.request);
      continue;
    }
    if ("jobId" in request.target) {
      needs.wholeIds.push(request.target.jobId);
      continue;
    }
    const job = kept.jobs.get(request.target.uid);
    if (job) jobs.set(request.target.uid, job);
    else if (request.touch === "whole" || whole) needs.wholeUids.push(request.target.uid);
    else needs.parts.push({ uid: request.target.uid, taskIndex: request.touch });
  }
  return { needs: { ...needs, images: [...needs.images] }, known: { jobs, images, creates } };
}

/** At the first try, where nothing but the job's name and its images has to be looked up. */
function canBeTakenAsNew({ rounds }: Write, { taskIds, request }: CreateRequest): boolean {
  return rounds === 0 && taskIds.length === 0 && request === null;
}

/** Names the job that a write is about, as far as it is known: a job may have two names, of which either may be used. */
export function keyOf(request: Write["request"]): string {
  if (isCreate(request)) return `id ${request.jobId}`;
  return "uid" in request.target ? `uid ${request.target.uid}` : `id ${request.target.jobId}`;
}

/** Runs the moves of one batch in memory. */
export class Fold {
  readonly #entries: Entry[] = [];
  readonly #byUid = new Map<string, Entry>();
  readonly #byJobId = new Map<string, Entry>();
  readonly #takenTaskIds: Map<string, string>;
  readonly #answered: Map<string, string>;
  /** Changes of jobs that this batch makes, which wait until the job is there, and creates that have to be read for. */
  readonly #later: Write[] = [];
  /** Refusals that belong to no job of the batch. */
  readonly #refused: Told[] = [];

  readonly #images: ReadonlyMap<string, ResolvedImage>;

  constructor(
    readonly loaded: Loaded,
    readonly known: Known,
    readonly now: Instant,
  ) {
    this.#takenTaskIds = new Map(loaded.takenTaskIds);
    this.#answered = new Map(loaded.answered);
    for (const slice of loaded.slices) this.#add(new JobDraft(slice), {});
    this.#images = new Map([...known.images, ...loaded.images]);
    // What was read just now is newer than what was kept.
    for (const [uid, slice] of known.jobs) if (!this.#byUid.has(uid)) this.#add(new JobDraft(slice), { kept: true });
  }

  run(batch: readonly Write[]): { entries: Entry[]; refused: Told[]; later: Write[] } {
    for (const write of batch) {
      if (isCreate(write.request)) this.#foldCreate(write, write.request);
      else this.#foldChange(write, write.request);
    }
    const entries = this.#entries.filter((entry) => entry.told.length > 0);
    return { entries, refused: this.#refused, later: this.#later };
  }

  #add(draft: JobDraft, { isNew = false, kept = false, request = null }: Partial<Pick<Entry, "isNew" | "kept" | "request">>): Entry {
    const entry: Entry = { draft, isNew, kept, request, told: [], needsWhole: false, broken: false };
    this.#entries.push(entry);
    this.#byUid.set(draft.job.uid, entry);
    this.#byJobId.set(draft.job.jobId, entry);
    return entry;
  }

  #foldChange(write: Write, request: ChangeRequest<unknown>): void {
    const { target } = request;
    const entry = "uid" in target ? this.#byUid.get(target.uid) : this.#byJobId.get(target.jobId);
    const missing = (): Outcome => ({ error: jobNotFound("uid" in target ? target.uid : target.jobId) });
    if (!entry) return void this.#refused.push({ write, outcome: missing() });
    if (entry.isNew) return void this.#later.push(write);
    if (entry.draft.deleted) return void entry.told.push({ write, outcome: missing() });
    // Told again from a fresh draft, so what is told now does not matter.
    if (entry.needsWhole || entry.broken) return void entry.told.push({ write, outcome: { value: undefined } });
    try {
      entry.told.push({ write, outcome: { value: request.move(entry.draft, this.now) } });
    } catch (error) {
      if (error instanceof NeedsWholeJob) entry.needsWhole = true;
      else if (!isRefusal(error)) entry.broken = true;
      // On a kept job it is tried once more, on what is read.
      entry.told.push({ write, outcome: { error }, final: entry.broken && !entry.kept });
    }
  }

  #foldCreate(write: Write, request: CreateRequest): void {
    const name = request.request && requestName(request.request);
    const answered = name === null ? undefined : this.#answered.get(name);
    const present = this.#byJobId.get(request.jobId);
    if (answered !== undefined && !present?.isNew) {
      const same = answered === request.contentHash;
      const outcome = same ? { value: { repeated: true } } : { error: requestReused(request.request?.id ?? "") };
      return void this.#refused.push({ write, outcome });
    }
    if (present && !present.draft.deleted) {
      const { contentHash, wanted } = present.draft.job;
      const repeated = contentHash === request.contentHash && wanted?.outcome !== "Deleted";
      const because = wanted?.outcome === "Deleted" ? "and is being deleted" : "with other content";
      const outcome = repeated ? { value: { repeated } } : { error: alreadyExists(request.jobId, because) };
      return void present.told.push({ write, outcome });
    }
    try {
      const draft = request.build({ now: this.now, images: this.#images, takenTaskIds: this.#takenTaskIds });
      for (const task of draft.tasks.values()) this.#takenTaskIds.set(task.definition.taskId, request.jobId);
      if (name !== null) this.#answered.set(name, request.contentHash);
      this.#add(draft, { isNew: true, request: request.request }).told.push({ write, outcome: { value: { repeated: false } } });
    } catch (error) {
      if (!this.known.creates.has(write)) return void this.#refused.push({ write, outcome: { error } });
      // It may rest on an image that is another now.
      write.rounds += 1;
      this.#later.push(write);
    }
  }
}

/** A refusal is thrown before a move writes; anything else may have come half-way. */
function isRefusal(error: unknown): boolean {
  return error instanceof JobError && error.reason !== "Internal";
}

function alreadyExists(jobId: string, because: string): JobError {
  return new JobError("AlreadyExists", `job "${jobId}" already exists ${because}`, { metadata: { job_id: jobId } });
}

function requestReused(id: string): JobError {
  return new JobError("AlreadyExists", `request_id "${id}" already exists with other content`, { metadata: { request_id: id } });
}
