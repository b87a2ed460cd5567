/**
 * What a watch begins with, until it has caught up with the hub: the jobs that are there, the history after a revision, or
 * nothing. It is read page by page, as fast as the watcher takes it. When it is over, everything up to `covered` has been
 * told, and what the hub has kept meanwhile follows without a gap or a repeat: `rest` drops or trims what a page had. Where
 * the hub had to keep too much meanwhile, it keeps nothing, and the opening is asked on for what has changed since.
 */

import { type ChangeBounds, changesAfter } from "../store/changes.js";
import { newestRevision } from "../store/events.js";
import type { Pool } from "../store/pool.js";
import { FIRST_UID, newest, viewsPage } from "../store/views.js";
import { EVERYTHING, frameFromChange, type JobFrame, type WatchOptions } from "./frame.js";

export type OpeningPage =
  | { readonly kind: "Frames"; readonly frames: readonly JobFrame[] }
  | { readonly kind: "Over"; readonly revision: bigint }
  | { readonly kind: "Failed"; readonly message: string };

/** What the watcher may see and wants of it is decided by its subscription. */
export interface Opening {
  /**
   * The next page, with one read of the database; after `Over`, what has changed since. After `Failed` nothing more is asked.
   * Undefined where the watcher is gone.
   */
  load(): Promise<OpeningPage | undefined>;
  /** A frame of the hub as this watcher needs it; undefined where the opening contained it. */
  rest(frame: JobFrame): JobFrame | undefined;
}

/** What is read at once is bounded by what it may weigh: a job has one task, or a thousand. */
const PAGE = { jobs: 200, tasks: 5_000 } as const;
export const WINDOW = { revisions: 5_000n, jobs: 5_000, tasks: 5_000 } as const satisfies ChangeBounds;
/** In the first window of changes. */
const FIRST_JOBS = 16;
const LAST_UID = "ffffffff-ffff-ffff-ffff-ffffffffffff";

export function openingOf(pool: Pool, options: WatchOptions): Opening {
  const start = options.start ?? { kind: "Present" };
  if (start.kind === "Present") return new Present(pool, options);
  return new CatchUp(pool, start.kind === "After" ? start.revision : null);
}

/**
 * Changes in windows of revisions, up to the newest. Only the end of a window may be a place to go on from, so the first is
 * small: a client that breaks off soon, and again, gets on. Later ones are larger, since more is merged in them.
 */
class CatchUp implements Opening {
  #position: bigint | null;
  #jobs = FIRST_JOBS;

  /** Null begins, and ends, with the newest. */
  constructor(
    readonly pool: Pool,
    after: bigint | null,
  ) {
    this.#position = after;
  }

  async load(): Promise<OpeningPage> {
    if (this.#position === null) {
      this.#position = await newestRevision(this.pool);
      return { kind: "Over", revision: this.#position };
    }
    const after = this.#position;
    const changes = await changesAfter(this.pool, after, { ...WINDOW, jobs: this.#jobs });
    this.#jobs = Math.min(2 * this.#jobs, WINDOW.jobs);
    if (changes.floor > after) return { kind: "Failed", message: pruned(changes.floor) };
    if (after > changes.newest) return { kind: "Failed", message: unknown(after, changes.newest) };
    this.#position = changes.revision;
    if (changes.jobs.length === 0 && !changes.more) return { kind: "Over", revision: changes.revision };
    return { kind: "Frames", frames: changes.jobs.map(frameFromChange) };
  }

  rest(frame: JobFrame): JobFrame | undefined {
    return trimmed(frame, this.#position ?? 0n);
  }
}

const pruned = (floor: bigint): string =>
  `the history up to revision ${floor} is not kept any more; watch without resume_revision for the present jobs`;
const unknown = (revision: bigint, newest: bigint): string =>
  `revision ${revision} is not known here, the newest is ${newest}; watch without resume_revision for the present jobs`;

/** What is left of a frame whose revisions up to `covered` have been told; undefined where nothing is. */
function trimmed(frame: JobFrame, covered: bigint): JobFrame | undefined {
  if (frame.revision <= covered) return undefined;
  if (frame.from > covered) return frame;
  return { ...frame, from: covered + 1n, kind: frame.kind === "Added" ? "Modified" : frame.kind };
}

/**
 * The jobs that are there, in the order in which they were made. Each page is as of its own moment, so what changed in the
 * early ones while the later ones were read is caught up with in the end.
 */
class Present implements Opening {
  readonly #pages: { readonly lastUid: string; readonly revision: bigint }[] = [];
  /**
   * Jobs up to this one are paged; those that were made after this revision come as changes. Jobs that are named may be
   * made in between, whatever their uids, and are paged from the first page's revision on.
   */
  #end: { readonly uid: string; readonly revision: bigint | null } | undefined;
  #after = FIRST_UID;
  #catchUp: CatchUp | undefined;

  constructor(
    readonly pool: Pool,
    readonly options: WatchOptions,
  ) {
    if (options.filter?.jobIds) this.#end = { uid: LAST_UID, revision: null };
  }

  async load(): Promise<OpeningPage> {
    if (this.#catchUp) return this.#changed(this.#catchUp);
    if (!this.#end) {
      this.#end = await newest(this.pool);
      return { kind: "Frames", frames: [] };
    }
    const { uid, revision } = this.#end;
    return this.#after < uid ? this.#page(uid) : this.#over(revision ?? this.#pages[0]?.revision ?? 0n);
  }

  async #page(last: string): Promise<OpeningPage> {
    const { jobIds, domain, states } = this.options.filter ?? EVERYTHING;
    const own = this.options.actor.role === "domain" ? this.options.actor.domain : null;
    const { revision, views, more } = await viewsPage(this.pool, {
      after: this.#after,
      last,
      most: PAGE,
      jobIds: jobIds && [...jobIds],
      domains: [domain, own].filter((each) => each !== null),
      states: states && [...states],
    });
    this.#after = more ? (views.at(-1)?.job.uid ?? last) : last;
    this.#pages.push({ lastUid: this.#after, revision });
    const frames = views.map((view) => ({ kind: "Added", from: 0n, revision, view, inSnapshot: true }) as const);
    return { kind: "Frames", frames };
  }

  async #over(revision: bigint): Promise<OpeningPage> {
    this.#catchUp = new CatchUp(this.pool, revision);
    if (this.#pages.every((page) => page.revision === revision)) return { kind: "Over", revision };
    return this.#changed(this.#catchUp);
  }

  async #changed(catchUp: CatchUp): Promise<OpeningPage> {
    const page = await catchUp.load();
    if (page.kind !== "Frames") return page;
    return { kind: "Frames", frames: page.frames.flatMap((frame) => this.#beyondPage(frame) ?? []) };
  }

  rest(frame: JobFrame): JobFrame | undefined {
    const rest = this.#catchUp ? this.#catchUp.rest(frame) : frame;
    return rest && this.#beyondPage(rest);
  }

  #beyondPage(frame: JobFrame): JobFrame | undefined {
    const page = this.#pages.find((each) => frame.view.job.uid <= each.lastUid);
    return page ? trimmed(frame, page.revision) : frame;
  }
}
