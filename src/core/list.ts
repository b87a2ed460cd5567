/**
 * Finding jobs: what can be asked for, in which order, and what a person calls a job's state. Pure; the store makes
 * statements of it.
 *
 * A job's name is its job_id. A flow and a schedule are known by the custom fields `flow_id` and `schedule_id`.
 */

import { invalid } from "./error.js";
import { type Instant, type Job, JOB_STATES, jobEnded, type JobEvent, type JobState, type JobView, type Outcome } from "./job.js";

/** What a person calls the state of a job: an end that was asked for counts as taken at once. */
export const SHOWN_STATUSES = ["Waiting", "Running", "Stopped", "Finished", "Error", "Discarded"] as const;
export type ShownStatus = (typeof SHOWN_STATUSES)[number];

const SHOWN_STATE = {
  AwaitingApproval: "Waiting",
  Pending: "Waiting",
  Running: "Running",
  Suspended: "Stopped",
  Succeeded: "Finished",
  Failed: "Error",
  Cancelled: "Discarded",
  ApprovalReject: "Discarded",
} as const satisfies Record<JobState, ShownStatus>;

const SHOWN_OUTCOME = {
  Suspended: "Stopped",
  Failed: "Error",
  Cancelled: "Discarded",
  Deleted: "Discarded",
} as const satisfies Record<Outcome, ShownStatus>;

/** A running job waits until the first attempt after it was made or restarted has begun. */
export function shownStatus(job: Pick<Job, "state" | "wanted" | "begun">): ShownStatus {
  if (job.wanted) return SHOWN_OUTCOME[job.wanted.outcome];
  const state: JobState = job.state;
  return state === "Running" && !job.begun ? "Waiting" : SHOWN_STATE[state];
}

/** State and shown status in one word, `<state>/<shown>`: what the store keeps and orders jobs by. */
export type Standing = `${JobState}/${ShownStatus}`;

/** Only a running job has attempts that an end must wait for, so in every other state the two go together. */
const STANDINGS: readonly Standing[] = JOB_STATES.flatMap((state): Standing[] =>
  state === "Running"
    ? SHOWN_STATUSES.filter((shown) => shown !== "Finished").map((shown): Standing => `${state}/${shown}`)
    : [`${state}/${SHOWN_STATE[state]}`],
);

/** Every standing that a job of these states and shown statuses can have. */
export function standingsOf({ states = [], shown = [] }: Pick<JobFilter, "states" | "shown">): readonly Standing[] {
  return STANDINGS.filter((standing) => {
    const [state, status] = standing.split("/");
    return (states.length === 0 || states.some((s) => s === state)) && (shown.length === 0 || shown.some((s) => s === status));
  });
}

type Timed = Pick<Job, "state" | "startedAt" | "endedAt" | "interruptedMs" | "since">;

/** How long the job has run: 0 before its start; neither the time after its end counts nor the time it was suspended. */
export function durationMs(job: Timed, now: Instant): number {
  if (job.startedAt === null) return 0;
  const until = job.endedAt ?? (job.state === "Suspended" ? job.since : now);
  return Math.max(0, until - job.startedAt - job.interruptedMs);
}

/** Above every duration: the range of an Instant. */
const LONGEST_MS = 8_640_000_000_000_000;

/**
 * What jobs are sorted by for their duration. It must not grow with the clock, so jobs that run come after all others,
 * in the order of their durations among themselves.
 */
export function durationRank(job: Timed): number {
  const runs = job.startedAt !== null && !jobEnded(job) && job.state !== "Suspended";
  return runs ? LONGEST_MS - (job.startedAt + job.interruptedMs) : durationMs(job, job.since);
}

/** Both bounds may be left out. */
export interface TimeRange {
  /** At or after. */
  readonly from?: Instant;
  /** Before, not at. */
  readonly before?: Instant;
}

export interface FieldEquals {
  readonly key: string;
  readonly value: string;
  /** Letters of ASCII count as equal in either case; false where left out. */
  readonly ignoreCase?: boolean;
}

/** Custom fields by which a job belongs to a flow, or to a schedule. */
export const FLOW_FIELD = "flow_id";
export const SCHEDULE_FIELD = "schedule_id";

/** Every part that is given must hold; a part that is left out, or an empty list, asks for nothing. */
export interface JobFilter {
  readonly initiator?: string;
  /** A domain that takes part, the initiator included. */
  readonly party?: string;
  readonly states?: readonly JobState[];
  readonly shown?: readonly ShownStatus[];
  /** The job_id itself. */
  readonly name?: string;
  readonly namePrefix?: string;
  /** Anywhere in the job_id, in either case. */
  readonly nameContains?: string;
  /** Several on one key can hold only where they are equal. */
  readonly customFields?: readonly FieldEquals[];
  /** The custom field `FLOW_FIELD`. */
  readonly flowId?: string;
  /** The custom field `SCHEDULE_FIELD`. */
  readonly scheduleId?: string;
  readonly created?: TimeRange;
  readonly updated?: TimeRange;
  /** The language that the job was made through, e.g. `kuscia`. */
  readonly surface?: string;
}

/** `name` by code unit; `duration` by `durationRank`. Jobs that are equal in it go by their uids, in the same direction. */
export const SORT_KEYS = ["created", "updated", "name", "duration"] as const;
export type SortKey = (typeof SORT_KEYS)[number];

export interface JobOrder {
  readonly key: SortKey;
  readonly descending: boolean;
}

export interface JobQuery {
  readonly filter: JobFilter;
  readonly order: JobOrder;
  /** 0 = none, for a caller who wants the count only. */
  readonly pageSize: number;
  /**
   * Where the page begins: after the page that gave the token (empty = at the first job), or after so many matches, for
   * surfaces whose pages have numbers.
   */
  readonly start: { readonly pageToken: string } | { readonly offset: number };
  /** Whether the matches are to be counted. */
  readonly count: boolean;
  /** False = jobs without their tasks, which may be many; true where left out. */
  readonly tasks?: boolean;
}

export interface JobCount {
  readonly value: number;
  /** True up to `EXACT_COUNT` matches; above it the value is an estimate. */
  readonly exact: boolean;
}

export interface JobPage {
  readonly jobs: readonly JobView[];
  /** Opaque, for this filter, order and caller only; empty at the end. A page may be short and have one: ask on with it. */
  readonly nextPageToken: string;
  /** Null where it was not asked for. */
  readonly count: JobCount | null;
}

export const MAX_PAGE_SIZE = 1_000;
/** Matches are counted up to here. */
export const EXACT_COUNT = 10_000;
/** Highest offset of a page with a number. */
export const MAX_OFFSET = 10_000;
/** Tasks in one page. A page that goes on by a token is short rather than larger. */
export const MAX_PAGE_TASKS = 20_000;

/** Throws InvalidArgument naming `page_size`. */
export function checkPageSize(pageSize: number): void {
  if (Number.isInteger(pageSize) && pageSize >= 0 && pageSize <= MAX_PAGE_SIZE) return;
  throw invalid("page_size", `must be 0 to ${MAX_PAGE_SIZE}, got ${pageSize}`);
}

/** Throws InvalidArgument naming `page_size` or `offset`. */
export function checkQuery({ pageSize, start }: Pick<JobQuery, "pageSize" | "start">): void {
  checkPageSize(pageSize);
  if (!("offset" in start)) return;
  const { offset } = start;
  if (!Number.isInteger(offset) || offset < 0 || offset > MAX_OFFSET) {
    throw invalid("offset", `must be 0 to ${MAX_OFFSET}, got ${offset}; narrow the filter instead`);
  }
}

export interface EventQuery {
  readonly jobId: string;
  /** At most `MAX_PAGE_SIZE`. */
  readonly pageSize: number;
  /** From the page before; empty = the first page. */
  readonly pageToken: string;
  /** Only events after this revision; 0 where left out. */
  readonly after?: bigint;
}

export interface EventPage {
  /** By revision. */
  readonly events: readonly { readonly revision: bigint; readonly event: JobEvent }[];
  /** Opaque, for this job and caller only; empty at the end. */
  readonly nextPageToken: string;
}
