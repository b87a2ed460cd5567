/** What a watcher asks for, and what it gets. */

import type { Actor, JobState, JobView } from "../core/job.js";
import type { JobChange } from "../store/changes.js";

export type JobFrameKind = "Added" | "Modified" | "Deleted";

/** A job's status stamped with its revision. The same object goes to every watcher, so it may be encoded once. */
export interface JobFrame {
  readonly kind: JobFrameKind;
  /** First revision of the job that the frame stands for. */
  readonly from: bigint;
  readonly revision: bigint;
  /** The last known state where the kind is Deleted. */
  readonly view: JobView;
  /** Not all up to the revision has been told with it, as in a snapshot that has not ended: nothing can go on from here. */
  readonly inSnapshot: boolean;
  /**
   * Kept here by who encodes it. Of the frame that `of` names only: another one may have been made from it since. Not in a
   * weak map, whose entries live until the whole heap is collected.
   */
  encoded?: { readonly of: JobFrame; readonly bytes: Uint8Array };
}

export function frameFromChange(change: JobChange): JobFrame {
  const kind = change.deleted ? "Deleted" : change.created ? "Added" : "Modified";
  return { kind, from: change.first, revision: change.last, view: change.view, inSnapshot: false };
}

/**
 * Frames in the order of their revisions, to be told one after the other; given with the last one first. A merged frame
 * stands for older revisions too. What comes before it is newer than those, so a watch that breaks off there must go on
 * from before it: such frames are told as a snapshot is.
 */
export function lastFirst(frames: readonly JobFrame[]): JobFrame[] {
  let untold: bigint | undefined;
  return frames.toReversed().map((frame) => {
    const isEarly = untold !== undefined && untold <= frame.revision;
    if (untold === undefined || frame.from < untold) untold = frame.from;
    return isEarly && !frame.inSnapshot ? { ...frame, inSnapshot: true } : frame;
  });
}

export type WatchItem =
  | JobFrame
  /** Ends the opening, then after each quiet period. Everything up to the revision has been told. */
  | { readonly kind: "Heartbeat"; readonly revision: bigint }
  /** The last item; `message` says how to go on, and from where, unless the revision is 0. */
  | { readonly kind: "Error"; readonly message: string; readonly revision: bigint };

/** Null = any. */
export interface WatchFilter {
  readonly jobIds: ReadonlySet<string> | null;
  /** Takes part in the job. */
  readonly domain: string | null;
  /** Deleted passes whatever the state was. */
  readonly states: ReadonlySet<JobState> | null;
}

export const EVERYTHING: WatchFilter = { jobIds: null, domain: null, states: null };

/** Where a watch begins: with the jobs that are there, with what comes, or after a revision that an earlier one reached. */
export type WatchStart =
  | { readonly kind: "Present" }
  | { readonly kind: "Now" }
  | { readonly kind: "After"; readonly revision: bigint };

export interface WatchOptions {
  readonly actor: Actor;
  /** The caller's end; the watch ends when it aborts. */
  readonly signal: AbortSignal;
  readonly filter?: WatchFilter;
  /** `Present` where left out. */
  readonly start?: WatchStart;
}
