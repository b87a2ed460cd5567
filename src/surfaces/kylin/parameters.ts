/**
 * The query of a list, read and checked. Parameters are named in camel case and each has one value, but `status`, which
 * may be repeated or hold several numbers separated by commas. What the API does not know is ignored.
 */

import { invalid, quoted } from "../../core/error.js";
import type { Instant } from "../../core/job.js";
import { MAX_PAGE_SIZE, type ShownStatus } from "../../core/list.js";
import { SHOWN_OF_NUMBER, STATUS_NUMBERS } from "./states.js";

const DEFAULT_PAGE_SIZE = 10;

/** Sort keys on the wire, and what each sorts by. */
export const SORT_KEYS = {
  last_modify: "updated",
  last_modified: "updated",
  job_name: "name",
  cube_name: "cube",
  create_time: "created",
  duration: "duration",
  job_status: "status",
} as const;
export type SortKey = (typeof SORT_KEYS)[keyof typeof SORT_KEYS];

export interface ListParameters {
  /** Jobs that changed at or after it; null = all. */
  readonly modifiedSince: Instant | null;
  /** Empty = every status. */
  readonly statuses: readonly ShownStatus[];
  /** A part of the name, whatever its case; empty = every name. */
  readonly jobName: string;
  /** Whatever its case; empty = every project. */
  readonly projectName: string;
  readonly sortBy: SortKey;
  readonly descending: boolean;
  /** Pages before the one asked for. */
  readonly pageOffset: number;
  readonly pageSize: number;
}

/** Throws InvalidArgument naming the parameter. */
export function listParameters(query: URLSearchParams, now: Instant): ListParameters {
  return {
    modifiedSince: timeWindow(single(query, "timeFilter"), now),
    statuses: statusesOf(query),
    jobName: text(query, "jobName"),
    projectName: text(query, "projectName"),
    sortBy: sortKey(query),
    descending: flag("reverse", single(query, "reverse"), true),
    pageOffset: whole("pageOffset", single(query, "pageOffset"), 0, Number.MAX_SAFE_INTEGER),
    pageSize: whole("pageSize", single(query, "pageSize"), DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE),
  };
}

/** Undefined where it is left out or empty. */
function single(query: URLSearchParams, name: string): string | undefined {
  const [value, second] = query.getAll(name);
  if (second !== undefined) throw invalid(name, "must be given once");
  return value === undefined || value === "" ? undefined : value;
}

/** U+0000 and half surrogate pairs are in no name. */
const NOT_IN_NAMES = /[\0\p{Cs}]/u;

function text(query: URLSearchParams, name: string): string {
  const value = single(query, name) ?? "";
  if (NOT_IN_NAMES.test(value)) throw invalid(name, "must not contain U+0000 or a lone surrogate");
  return value;
}

function whole(name: string, value: string | undefined, otherwise: number, most: number): number {
  if (value === undefined) return otherwise;
  if (!/^-?\d+$/.test(value)) throw invalid(name, `must be a whole number, got ${quoted(value)}`);
  const number = Number(value);
  if (number < 0) throw invalid(name, `must not be negative, got ${quoted(value)}`);
  if (number > most) throw invalid(name, `must be at most ${most}, got ${quoted(value)}`);
  return number;
}

const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false],
]);

function flag(name: string, value: string | undefined, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  const read = FLAGS.get(value.toLowerCase());
  if (read === undefined) throw invalid(name, `must be true or false, got ${quoted(value)}`);
  return read;
}

function sortKey(query: URLSearchParams): SortKey {
  const name = query.has("sortby") ? "sortby" : "sortBy";
  const value = single(query, name) ?? "last_modify";
  if (!Object.hasOwn(SORT_KEYS, value)) {
    throw invalid(name, `must be one of ${Object.keys(SORT_KEYS).join(", ")}, got ${quoted(value)}`);
  }
  // The line above has looked.
  return SORT_KEYS[value as keyof typeof SORT_KEYS];
}

function statusesOf(query: URLSearchParams): readonly ShownStatus[] {
  const asked = query.getAll("status").flatMap((value) => value.split(","));
  const statuses = new Set<ShownStatus>();
  for (const value of asked.map((each) => each.trim())) {
    if (value === "") continue;
    const status = SHOWN_OF_NUMBER.get(value);
    if (!status) throw invalid("status", `must be one of ${STATUS_NUMBERS.join(", ")}, got ${quoted(value)}`);
    statuses.add(status);
  }
  return [...statuses];
}

/** Calendar steps back from now, in UTC. */
const WINDOWS: Readonly<Record<string, (now: Instant) => Instant | null>> = {
  0: (now) => daysBefore(now, 1),
  1: (now) => daysBefore(now, 7),
  2: (now) => monthsBefore(now, 1),
  3: (now) => monthsBefore(now, 12),
  4: () => null,
};

function timeWindow(value: string | undefined, now: Instant): Instant | null {
  const meaning = "0 (last day), 1 (last week), 2 (last month), 3 (last year) or 4 (all)";
  if (value === undefined) throw invalid("timeFilter", `is required: ${meaning}`);
  const window = Object.hasOwn(WINDOWS, value) ? WINDOWS[value] : undefined;
  if (!window) throw invalid("timeFilter", `must be ${meaning}, got ${quoted(value)}`);
  return window(now);
}

function daysBefore(now: Instant, days: number): Instant {
  return now - days * 86_400_000;
}

/** The same day and time of an earlier month, or that month's last day where it has no such day. */
function monthsBefore(now: Instant, months: number): Instant {
  const date = new Date(now);
  const day = date.getUTCDate();
  date.setUTCDate(1);
  date.setUTCMonth(date.getUTCMonth() - months);
  const lastDay = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  date.setUTCDate(Math.min(day, lastDay));
  return date.getTime();
}
