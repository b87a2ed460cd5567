/** What a watcher gets. */

import type { JobView } from "../core/job.js";

export type JobFrameKind = "Added" | "Modified" | "Deleted";

/** A job's status stamped with its revision. The same object goes to every watcher, so it may be encoded once. */
export interface JobFrame {
  readonly kind: JobFrameKind;
  /** First revision of the job that the frame stands for. */
  readonly from: bigint;
  readonly revision: bigint;
  /** The last known state where the kind is Deleted. */
  readonly view: JobView;
}

export type WatchItem =
  | JobFrame
  /** First after the snapshot of present jobs, then after each quiet period. */
  | { readonly kind: "Heartbeat"; readonly revision: bigint }
  /** The stream ends after it; `message` says how to go on. */
  | { readonly kind: "Error"; readonly message: string };
