/** How the jobs of a question are looked for: which index is walked, and which conditions are left for the rows it finds. */

import type { JobOrder } from "../../core/list.js";
import {
  ALL_NAMES,
  beforeOf,
  type Condition,
  createdCondition,
  firstUidAt,
  fromOf,
  LAST_UID,
  lastUidBefore,
  type ListPart,
  nameCondition,
  type Parts,
  updatedCondition,
  type Values,
} from "./filter.js";
import { EVERY_JOB } from "./names.js";

/** A place in an order, exclusive: the value sorted by as the scan prints it, and the uid. */
export interface Position {
  readonly rank: string;
  readonly uid: string;
}

/** An ordered walk over an index. */
export interface Scan {
  /** A call of one of the scan functions, which answers (job_uid, rank) in order. */
  readonly call: (values: Values, from: Position | null, descending: boolean, skip: number, limit: number) => string;
  /** How a row `s` of it finds its job `j`, by what the scan has read already. */
  readonly join: "j.uid = s.job_uid" | "j.job_id = s.rank";
  /** What its rows still have to meet. */
  readonly conditions: readonly Condition[];
}

export const BY_UID = "j.uid = s.job_uid";

/** Where jobs may be looked for: a list, with what its index knows beside it, or a range of names. */
export type Source = { readonly kind: "list"; readonly part: ListPart | null } | { readonly kind: "names" };

export function sourcesOf(parts: Parts): Source[] {
  const lists = parts.lists.map((part): Source => ({ kind: "list", part }));
  if (lists.length === 0 && (parts.standing || parts.created || parts.updated)) lists.push({ kind: "list", part: null });
  return parts.names ? [{ kind: "names" }, ...lists] : lists;
}

/** Walks a source in whatever order narrows it most. */
export function scanOf(source: Source, parts: Parts): Scan {
  if (source.kind === "names") return nameScan(parts);
  return entryScan(parts, source.part, parts.updated ? "updated" : "created");
}

/** Walks in the order that is asked for; `part` is the list that is walked where the order allows one. */
export function orderedScan({ key }: JobOrder, parts: Parts, part: ListPart | null): Scan {
  if (key === "name") return nameScan(parts);
  if (key === "duration") return durationScan(parts);
  return entryScan(parts, part, key);
}

/** Whether walking the source in this order reads nothing that is not asked for. */
export function isNatural(source: Source, { key }: JobOrder): boolean {
  return source.kind === "names" ? key === "name" : key === "created" || key === "updated";
}

function entryScan(parts: Parts, part: ListPart | null, by: "created" | "updated"): Scan {
  const lists = part?.lists ?? EVERY_JOB;
  const { standings, created, updated } = parts;
  const conditions = [
    ...parts.lists.filter((other) => other !== part || other.loose).map((other) => other.condition),
    ...(parts.names ? [nameCondition(parts.names)] : []),
    ...parts.others,
    ...(by !== "created" && created ? [createdCondition(created)] : []),
    ...(by !== "updated" && updated ? [updatedCondition(updated)] : []),
  ];
  const call: Scan["call"] = (v, from, descending, skip, limit) => {
    const head = `${v.add(lists)}, ${v.add(standings)}`;
    const tail = `${v.add(descending)}, ${v.add(skip)}, ${v.add(limit)}`;
    if (by === "created") {
      const [low, high] = [firstUidAt(created?.from), lastUidBefore(created?.before)];
      const start = from?.uid ?? (descending ? high : low);
      return `scan_created(${head}, ${v.add(start)}, ${v.add(descending ? low : high)}, ${tail})`;
    }
    const [low, high] = [fromOf(updated), beforeOf(updated)];
    const start = from ?? { rank: descending ? high : low, uid: firstUidAt(undefined) };
    return `scan_updated(${head}, ${v.add(start.rank)}, ${v.add(start.uid)}, ${v.add(descending ? low : high)}, ${tail})`;
  };
  return { call, join: BY_UID, conditions };
}

function nameScan(parts: Parts): Scan {
  const { low, high } = parts.names ?? ALL_NAMES;
  const call: Scan["call"] = (v, from, descending, skip, limit) => {
    const start = from ?? { rank: descending ? high : low, uid: firstUidAt(undefined) };
    const end = v.add(descending ? low : high);
    return `scan_names(${v.add(start.rank)}, ${v.add(start.uid)}, ${end}, ${v.add(descending)}, ${v.add(skip)}, ${v.add(limit)})`;
  };
  return { call, join: "j.job_id = s.rank", conditions: allBut(parts, "names") };
}

function durationScan(parts: Parts): Scan {
  const call: Scan["call"] = (v, from, descending, skip, limit) => {
    const start = from ?? { rank: descending ? String(2n ** 63n - 1n) : "-1", uid: LAST_UID };
    return `scan_durations(${v.add(start.rank)}, ${v.add(start.uid)}, ${v.add(descending)}, ${v.add(skip)}, ${v.add(limit)})`;
  };
  return { call, join: BY_UID, conditions: allBut(parts, "none") };
}

function allBut(parts: Parts, covered: "names" | "none"): Condition[] {
  return [
    ...parts.lists.map(({ condition }) => condition),
    ...(parts.standing ? [parts.standing] : []),
    ...(covered === "none" && parts.names ? [nameCondition(parts.names)] : []),
    ...parts.others,
    ...(parts.created ? [createdCondition(parts.created)] : []),
    ...(parts.updated ? [updatedCondition(parts.updated)] : []),
  ];
}
