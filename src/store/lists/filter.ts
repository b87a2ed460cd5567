/**
 * A filter as the store can use it: each part as a condition on a job's row, and, where an index knows the jobs that meet
 * it, as a source that can be scanned instead of all jobs.
 */

import type { Actor } from "../../core/job.js";
import { type FieldEquals, FLOW_FIELD, type JobFilter, SCHEDULE_FIELD, type Standing, standingsOf, type TimeRange } from "../../core/list.js";
import { fieldList, initiatorList, partnerList } from "./names.js";

/** Values of a statement, in the order of their `$n`. */
export class Values {
  readonly all: unknown[] = [];

  add(value: unknown): string {
    this.all.push(value);
    return `$${this.all.length}`;
  }
}

/** A condition on the row `j` of jobs. */
export type Condition = (values: Values) => string;

/** A part of the filter that lists know: what meets the condition is in one of them, and in no two. */
export interface ListPart {
  readonly lists: readonly string[];
  readonly condition: Condition;
  /** The lists hold more than what meets the condition. */
  readonly loose: boolean;
}

export interface NameRange {
  readonly low: string;
  /** Above every name in it. */
  readonly high: string;
}

/** What is asked for, in parts. */
export interface Parts {
  readonly lists: readonly ListPart[];
  readonly standings: readonly Standing[];
  /** Null where every standing will do. */
  readonly standing: Condition | null;
  readonly created: TimeRange | null;
  readonly updated: TimeRange | null;
  readonly names: NameRange | null;
  /** What no index knows. */
  readonly others: readonly Condition[];
}

/** Above every character that a name may have. */
const LAST = "\u{10FFFF}";
export const ALL_NAMES: NameRange = { low: "", high: LAST };

export function partsOf(filter: JobFilter, actor: Actor): Parts {
  const standings = standingsOf(filter);
  const anyStanding = (filter.states ?? []).length === 0 && (filter.shown ?? []).length === 0;
  const { created, updated, nameContains, surface } = filter;
  const others: Condition[] = [];
  // Names have no capitals.
  if (nameContains) others.push((values) => `position(${values.add(nameContains.toLowerCase())} in j.job_id) > 0`);
  if (surface !== undefined) others.push((values) => `j.surface = ${values.add(surface)}`);
  return {
    lists: listsOf(filter, actor),
    standings,
    standing: anyStanding ? null : (values) => `j.state || '/' || j.shown = any (${values.add(standings)})`,
    created: isOpen(created) ? null : created,
    updated: isOpen(updated) ? null : updated,
    names: namesOf(filter),
    others,
  };
}

function isOpen(range: TimeRange | undefined): range is undefined {
  return range === undefined || (range.from === undefined && range.before === undefined);
}

function listsOf(filter: JobFilter, actor: Actor): ListPart[] {
  const { initiator, party, flowId, scheduleId } = filter;
  const fields: FieldEquals[] = [...(filter.customFields ?? [])];
  if (flowId !== undefined) fields.push({ key: FLOW_FIELD, value: flowId });
  if (scheduleId !== undefined) fields.push({ key: SCHEDULE_FIELD, value: scheduleId });
  // What tends to let few jobs through comes first: of long lists the first is scanned.
  const parts = fields.map(fieldPart);
  if (initiator !== undefined) {
    parts.push({ lists: [initiatorList(initiator)], condition: (v) => `j.initiator = ${v.add(initiator)}`, loose: false });
  }
  const own = actor.role === "domain" ? (actor.domain ?? "") : undefined;
  for (const domain of new Set([own, party])) {
    // An initiator takes part.
    if (domain === undefined || domain === initiator) continue;
    const lists = [initiatorList(domain), partnerList(domain)];
    parts.push({ lists, condition: (v) => `j.domains ? ${v.add(domain)}`, loose: false });
  }
  return parts;
}

function fieldPart({ key, value, ignoreCase = false }: FieldEquals): ListPart {
  const lists = [fieldList(key, value)];
  if (ignoreCase) {
    return { lists, condition: (v) => `lower(j.custom_fields ->> ${v.add(key)}) = ${v.add(value.toLowerCase())}`, loose: false };
  }
  return { lists, condition: (v) => `j.custom_fields ->> ${v.add(key)} = ${v.add(value)}`, loose: true };
}

function namesOf({ name, namePrefix }: JobFilter): NameRange | null {
  if (name === undefined) return namePrefix ? { low: namePrefix, high: namePrefix + LAST } : null;
  // Just this name, and only where it has the prefix.
  return name.startsWith(namePrefix ?? "") ? { low: name, high: `${name}\u0001` } : { low: "", high: "" };
}

export function nameCondition({ low, high }: NameRange): Condition {
  return (values) => `j.job_id >= ${values.add(low)} and j.job_id < ${values.add(high)}`;
}

export function createdCondition(range: TimeRange): Condition {
  return (values) => `j.uid >= ${values.add(firstUidAt(range.from))} and j.uid < ${values.add(lastUidBefore(range.before))}`;
}

export function updatedCondition(range: TimeRange): Condition {
  return (values) => `j.updated_at >= ${values.add(fromOf(range))} and j.updated_at < ${values.add(beforeOf(range))}`;
}

export function fromOf(range: TimeRange | null): string {
  return range?.from === undefined ? "-infinity" : new Date(range.from).toISOString();
}

export function beforeOf(range: TimeRange | null): string {
  return range?.before === undefined ? "infinity" : new Date(range.before).toISOString();
}

/** Uids begin with the milliseconds of their creation, in 48 bits. This one is below every uid of the moment or later. */
export function firstUidAt(at: number | undefined): string {
  return uidAt(at ?? 0);
}

/** Above every uid of before the moment, and no job's own. */
export function lastUidBefore(at: number | undefined): string {
  return at === undefined ? LAST_UID : uidAt(at);
}

export const LAST_UID = "ffffffff-ffff-ffff-ffff-ffffffffffff";

function uidAt(at: number): string {
  const hex = Math.min(Math.max(Math.ceil(at), 0), 0xffff_ffff_ffff).toString(16).padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}
