/** How many jobs match: counted as far as that is cheap, beyond it estimated, which is said. */

import type { JobCount } from "../../core/list.js";
import { type Pool, read } from "../pool.js";
import { ALL_NAMES, beforeOf, firstUidAt, fromOf, lastUidBefore, type Parts, Values } from "./filter.js";
import { EVERY_JOB } from "./names.js";
import { type Scan, scanOf, type Source, sourcesOf } from "./scan.js";

/** Counts up to `most`. `small` is a source of few jobs, where one was found. */
export async function countMatches(pool: Pool, parts: Parts, small: Source | undefined, most: number): Promise<JobCount> {
  if (parts.standings.length === 0) return { value: 0, exact: true };
  const source = small ?? sourcesOf(parts)[0] ?? { kind: "list", part: null };
  const scan = scanOf(source, parts);
  const { matched, scanned } = scan.conditions.length === 0 ? await countPlain(pool, source, parts, most) : await countMeeting(pool, scan, most);
  if (scanned <= most) return { value: matched, exact: true };
  const estimated = (await estimate(pool, source, parts)) * (matched / scanned);
  return { value: Math.max(matched, Math.round(estimated)), exact: false };
}

interface Counted {
  readonly matched: number;
  /** More than may be counted where the end was not reached. */
  readonly scanned: number;
}

/** The rows of a source, out of its index alone; of entries, those of every list and standing. */
function rowsOf(source: Source, parts: Parts, values: Values): string {
  if (source.kind === "names") {
    const { low, high } = parts.names ?? ALL_NAMES;
    return `jobs j where j.job_id >= ${values.add(low)} and j.job_id < ${values.add(high)}`;
  }
  const range = parts.updated
    ? `e.updated_at >= ${values.add(fromOf(parts.updated))} and e.updated_at < ${values.add(beforeOf(parts.updated))}`
    : `e.job_uid >= ${values.add(firstUidAt(parts.created?.from))} and e.job_uid < ${values.add(lastUidBefore(parts.created?.before))}`;
  return `job_entries e where ${range}`;
}

function listsOf(source: Source & { kind: "list" }): readonly string[] {
  return source.part?.lists ?? EVERY_JOB;
}

async function countPlain(pool: Pool, source: Source, parts: Parts, most: number): Promise<Counted> {
  const values = new Values();
  const limit = values.add(most + 1);
  const rows = rowsOf(source, parts, values);
  // One walk per list and standing, each within a range of its own in the index.
  const counted =
    source.kind === "names"
      ? `select from ${rows} limit ${limit}`
      : `select from unnest(${values.add(parts.standings)}::text[]) as s(standing)
         cross join unnest(${values.add(listsOf(source))}::text[]) as l(list)
         cross join lateral (select from ${rows} and e.list = l.list and e.standing = s.standing limit ${limit}) e
         limit ${limit}`;
  const [row] = await read<{ count: number }>(pool, `select count(*)::int as count from (${counted}) c`, values.all);
  return { matched: row?.count ?? 0, scanned: row?.count ?? 0 };
}

async function countMeeting(pool: Pool, scan: Scan, most: number): Promise<Counted> {
  const values = new Values();
  const call = scan.call(values, null, true, 0, most + 1);
  const meets = scan.conditions.map((condition) => condition(values)).join(" and ");
  const text = `
    select count(*)::int as scanned, count(m.met)::int as matched from ${call} as s(job_uid, rank)
    left join lateral (select true as met from jobs j where ${scan.join} and ${meets} limit 1) m on true`;
  const [row] = await read<Counted>(pool, text, values.all);
  return row ?? { matched: 0, scanned: 0 };
}

/** The planner's, out of its statistics. */
async function estimate(pool: Pool, source: Source, parts: Parts): Promise<number> {
  const values = new Values();
  const rows = rowsOf(source, parts, values);
  const standing =
    source.kind === "names"
      ? ""
      : ` and e.list = any (${values.add(listsOf(source))}) and e.standing = any (${values.add(parts.standings)})`;
  const [row] = await read<{ "QUERY PLAN": readonly { Plan: { "Plan Rows": number } }[] }>(
    pool,
    `explain (format json) select from ${rows}${standing}`,
    values.all,
  );
  return row?.["QUERY PLAN"][0]?.Plan["Plan Rows"] ?? 0;
}
