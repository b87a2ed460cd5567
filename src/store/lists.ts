/**
 * Finds jobs. Nothing here reads more the longer the history is.
 *
 * A question whose filter is one list (and standings, and a range of what it is sorted by) is a walk over one index from the
 * page's first job on. Any other is first tried as a small set: where one part of the filter lets few jobs through, these
 * are read and sorted. Where none does, the best index is walked in the order that is asked for, a bounded number of rows
 * per page, and the page may be short and say where to go on.
 */

import { invalid } from "../core/error.js";
import type { Actor } from "../core/job.js";
import {
  checkPageSize,
  checkQuery,
  type EventPage,
  type EventQuery,
  EXACT_COUNT,
  type JobCount,
  type JobOrder,
  type JobPage,
  type JobQuery,
  MAX_PAGE_TASKS,
} from "../core/list.js";
import { countMatches } from "./lists/count.js";
import { type Parts, partsOf, Values } from "./lists/filter.js";
import { type Found, type ListBounds, readScan, readSmallSet, type Walk } from "./lists/page.js";
import { isNatural, orderedScan, type Position, scanOf, type Source, sourcesOf } from "./lists/scan.js";
import { createTokens } from "./lists/token.js";
import { eventsOfJob } from "./events.js";
import { type Pool, read } from "./pool.js";

export interface Lists {
  readonly list: (query: JobQuery, actor: Actor) => Promise<JobPage>;
  /** The history of a job that the caller may see. */
  readonly events: (query: EventQuery, jobUid: string, actor: Actor) => Promise<EventPage>;
}

const BOUNDS: ListBounds = {
  smallSet: 1_000,
  scanSteps: [250, 4_750],
  numberedScan: 20_000,
  exactCount: EXACT_COUNT,
  pageTasks: MAX_PAGE_TASKS,
};

interface Walked {
  readonly found: readonly Found[];
  /** Where to go on looking; null at the end. */
  readonly next: Position | null;
}

export function createLists(pool: Pool, bounds: ListBounds = BOUNDS): Lists {
  const tokens = createTokens(pool);
  return {
    async list(query, actor) {
      checkQuery(query);
      const { start, order, pageSize } = query;
      const question = ["jobs", Object.entries(query.filter).sort(([a], [b]) => (a < b ? -1 : 1)), order.key, order.descending];
      const token = "pageToken" in start ? start.pageToken : "";
      const [rank, uid] = token === "" ? [] : await tokens.open(token, question, actor);
      const parts = partsOf(query.filter, actor);
      const small = parts.standings.length === 0 ? undefined : await smallSet(pool, parts, order, bounds.smallSet);
      const count: Promise<JobCount | null> = query.count ? countMatches(pool, parts, small, bounds.exactCount) : Promise.resolve(null);
      // Told below, with the page.
      count.catch(() => undefined);
      const walk: Walk = {
        pool,
        bounds,
        order,
        from: rank === undefined || uid === undefined ? null : { rank, uid },
        skip: "offset" in start ? start.offset : 0,
        numbered: "offset" in start,
        size: pageSize,
        tasks: query.tasks ?? true,
      };
      const { found, next } = await walkPage(walk, parts, small);
      const nextPageToken = next ? await tokens.sign(question, actor, [next.rank, next.uid]) : "";
      return { jobs: found.map(({ view }) => view), nextPageToken, count: await count };
    },

    async events({ pageSize, pageToken, after = 0n }, jobUid, actor) {
      checkPageSize(pageSize);
      const question = ["events", jobUid, after.toString()];
      const [last] = pageToken === "" ? [] : await tokens.open(pageToken, question, actor);
      const events = await eventsOfJob(pool, jobUid, last === undefined ? after : BigInt(last), pageSize + 1);
      const page = events.slice(0, pageSize);
      const more = events.length > pageSize ? (page.at(-1)?.revision ?? after) : undefined;
      return { events: page, nextPageToken: more === undefined ? "" : await tokens.sign(question, actor, [more.toString()]) };
    },
  };
}

async function walkPage(walk: Walk, parts: Parts, small: Source | undefined): Promise<Walked> {
  if (walk.size === 0 || parts.standings.length === 0) return { found: [], next: null };
  if (small) return cut(walk, await readSmallSet(walk, scanOf(small, parts)), null);
  const scan = orderedScan(walk.order, parts, parts.lists[0] ?? null);
  if (scan.conditions.length === 0) {
    const { found } = await readScan(walk, scan, walk.from, walk.size + 1, walk.size + 1);
    return cut(walk, found, null);
  }
  if (walk.numbered) {
    const { found, scanned, last } = await readScan(walk, scan, walk.from, walk.bounds.numberedScan, walk.size + 1);
    return cut(walk, found, scanned < walk.bounds.numberedScan ? null : last);
  }
  const found: Found[] = [];
  let from = walk.from;
  for (const step of walk.bounds.scanSteps) {
    const { found: more, scanned, last } = await readScan(walk, scan, from, step, walk.size + 1 - found.length);
    found.push(...more);
    if (scanned < step) return cut(walk, found, null);
    if (found.length > walk.size) break;
    from = last;
  }
  return cut(walk, found, from);
}

/** The page out of what was found, which is one more than the page where there is more. */
function cut(walk: Walk, found: readonly Found[], unfinished: Position | null): Walked {
  let kept = 0;
  let tasks = 0;
  for (const { view } of found.slice(0, walk.size)) {
    tasks += walk.tasks ? view.job.counts.total : 0;
    if (tasks > walk.bounds.pageTasks && kept > 0) break;
    kept += 1;
  }
  if (walk.numbered && kept < Math.min(found.length, walk.size)) {
    throw invalid("page_size", `the jobs of this page have more than ${walk.bounds.pageTasks} tasks; ask for fewer jobs at once`);
  }
  const last = found[kept - 1];
  return { found: found.slice(0, kept), next: kept < found.length && last ? last : unfinished };
}

/** The source that lets few jobs through, where there is one and walking the order's own index would read more. */
async function smallSet(pool: Pool, parts: Parts, order: JobOrder, most: number): Promise<Source | undefined> {
  const sources = sourcesOf(parts);
  const natural = sources.every((source) => isNatural(source, order));
  const plain = orderedScan(order, parts, parts.lists[0] ?? null).conditions.length === 0;
  if (sources.length === 0 || (natural && plain)) return undefined;
  const values = new Values();
  const sizes = sources.map((source) => `(select count(*)::int from ${scanOf(source, parts).call(values, null, false, 0, most + 1)})`);
  const [row] = await read<{ sizes: number[] }>(pool, `select array[${sizes.join(", ")}] as sizes`, values.all);
  const smallest = Math.min(...(row?.sizes ?? []));
  return smallest <= most ? sources[row?.sizes.indexOf(smallest) ?? 0] : undefined;
}

