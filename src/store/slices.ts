/**
 * Reads what a batch of moves needs, in one statement as of one moment (`load_slices`, a function in the database): heads of
 * jobs, the tasks that the moves can touch, the open attempts of those tasks, and for new jobs the images and names that
 * their rules ask about.
 */

import type { Slice } from "../core/moves/draft.js";
import type { AppImage } from "../core/image.js";
import type { Pool } from "./pool.js";
import { type AttemptRow, attemptFromRow, groupBy, type JobRow, jobFromRow, type TaskRow, taskFromRow } from "./rows.js";

/** Jobs with at most this many tasks are always read whole: one index range is cheaper than choosing. */
const WHOLE_BELOW = 32;

export interface Needs {
  /** Jobs to be read whole, by name or uid. */
  readonly wholeIds: readonly string[];
  readonly wholeUids: readonly string[];
  /** Jobs of which one task is touched. */
  readonly parts: readonly { readonly uid: string; readonly taskIndex: number }[];
  readonly images: readonly string[];
  readonly taskIds: readonly string[];
  readonly requests: readonly RequestKey[];
}

/** A request id is the caller's own: another caller's equal id is another request. */
export interface RequestKey {
  readonly caller: string;
  readonly id: string;
}

export function requestName({ caller, id }: RequestKey): string {
  return JSON.stringify([caller, id]);
}

export interface ResolvedImage {
  readonly digest: string;
  readonly image: AppImage;
}

export interface Loaded {
  readonly slices: readonly Slice[];
  readonly images: ReadonlyMap<string, ResolvedImage>;
  /** Of the asked task_ids, those that a present job uses, with the job's name. */
  readonly takenTaskIds: ReadonlyMap<string, string>;
  /** Of the asked requests, those that were answered before: `requestName` -> hash of the content. */
  readonly answered: ReadonlyMap<string, string>;
}

interface Answer {
  jobs: (JobRow & { whole: boolean })[] | null;
  tasks: TaskRow[] | null;
  attempts: AttemptRow[] | null;
  images: { name: string; digest: string; content: AppImage }[] | null;
  taken: { task_id: string; job_id: string }[] | null;
  requests: { caller: string; request_id: string; hash: string }[] | null;
}

const LOAD = "select load_slices($1, $2, $3, $4, $5, $6, $7, $8, $9) as answer";

const NOTHING: Loaded = { slices: [], images: new Map(), takenTaskIds: new Map(), answered: new Map() };

/** Where nothing is needed, nothing is asked. */
export async function loadSlices(pool: Pool, needs: Needs): Promise<Loaded> {
  const { wholeIds, wholeUids, parts } = needs;
  // What else is asked for belongs to new jobs, which are asked for by name.
  if (wholeIds.length + wholeUids.length + parts.length === 0) return NOTHING;
  const { rows } = await pool.query<{ answer: Answer }>({
    name: "load-slices",
    text: LOAD,
    values: [
      needs.wholeIds,
      needs.wholeUids,
      needs.parts.map((part) => part.uid),
      needs.parts.map((part) => part.taskIndex),
      needs.images,
      needs.taskIds,
      needs.requests.map((request) => request.caller),
      needs.requests.map((request) => request.id),
      WHOLE_BELOW,
    ],
  });
  const answer = rows[0]?.answer;
  const tasksOf = groupBy(answer?.tasks ?? [], (row) => row.job_uid);
  const attemptsOf = groupBy(answer?.attempts ?? [], (row) => row.job_uid);
  return {
    slices: (answer?.jobs ?? []).map((row) => ({
      job: jobFromRow(row),
      tasks: (tasksOf.get(row.uid) ?? []).map(taskFromRow),
      attempts: (attemptsOf.get(row.uid) ?? []).map(attemptFromRow),
      complete: row.whole,
    })),
    images: new Map((answer?.images ?? []).map((row) => [row.name, { digest: row.digest, image: row.content }])),
    takenTaskIds: new Map((answer?.taken ?? []).map((row) => [row.task_id, row.job_id])),
    answered: new Map(
      (answer?.requests ?? []).map((row) => [requestName({ caller: row.caller, id: row.request_id }), row.hash]),
    ),
  };
}
