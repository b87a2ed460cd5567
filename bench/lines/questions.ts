/** Every filter and order that docs/jobs-api.md calls fast, as questions whose pages are full. */

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ID_DIGITS } from "../load/messages.js";
import type { Question } from "../load/pages.js";
import type { Connection } from "../postgres.js";
import { type Asked, deepener, ORDERS, questionOf, type Request } from "./deep.js";

export interface Group {
  readonly name: string;
  readonly first: readonly Question[];
  readonly deep: readonly Question[];
}

type TimeOrder = "create_time" | "update_time";

/** Of what a page is sorted by. */
interface Range {
  readonly order: TimeOrder;
  readonly from: Date;
  readonly before: Date;
}

const LISTS: readonly Request[] = [
  {},
  { initiator: "alice" },
  { domainId: "bob" },
  { customFields: { project: "project-5" } },
  { flowId: "flow-7" },
  { scheduleId: "schedule-1" },
];
const STANDINGS: readonly Request[] = [{}, { states: ["Succeeded", "Failed"] }, { statuses: ["Finished", "Error", "Waiting"] }];
const ORDER_NAMES = ["create_time", "update_time", "job_id", "duration"] as const;
const DIRECTIONS = ["", " desc"] as const;
/** All far enough from both ends that the rarest of the filters fills a page. */
const DEPTHS = [0.3, 0.5, 0.7] as const;
/** Names of 1,000 jobs and of 10,000, whatever their number. */
const FEW_NAMES = `bench-${"0".repeat(ID_DIGITS - 3)}`;
const MANY_NAMES = `bench-${"0".repeat(ID_DIGITS - 4)}`;
const ONE_NAME = `bench-${"7".padStart(ID_DIGITS, "0")}`;
/** Fewer than the docs' 1,000. */
const FEW = 900;

/** Of a database with so many stored jobs and the server on it. */
export async function documentedGroups(client: Connection, url: string, jobs: number): Promise<Group[]> {
  const timeAt = async (order: TimeOrder, place: number): Promise<Date> => {
    const { column } = ORDERS[order];
    const rows = await client.query<{ at: Date }>(`select ${column} as at from jobs order by ${column} limit 1 offset $1`, [place]);
    return rows[0]?.at ?? new Date(0);
  };
  const between = async (order: TimeOrder, from: number, before: number): Promise<Range> => ({
    order,
    from: await timeAt(order, from),
    before: await timeAt(order, before),
  });
  const few = [await between("create_time", jobs / 2, jobs / 2 + FEW), await between("update_time", jobs / 2, jobs / 2 + FEW)];
  const groups: readonly [string, readonly Asked[]][] = [
    ["by create_time", byTime(await between("create_time", jobs * 0.1, jobs * 0.9))],
    ["by update_time", byTime(await between("update_time", jobs * 0.1, jobs * 0.9))],
    ["by job_id or duration, or of a job_id", DIRECTIONS.flatMap(byOther)],
    ["where one filter lets few jobs through", ofFew(few)],
  ];
  const deepen = await deepener(client, url);
  const made: Group[] = [];
  for (const [name, asked] of groups) {
    const deep: Question[] = [];
    for (const each of asked) {
      const question = await deepen(each);
      if (question) deep.push(question);
    }
    made.push({ name, first: asked.map(({ request }) => questionOf(request)), deep });
  }
  return made;
}

/** One list or none, with standings or none, with or without a range of what is sorted by. */
function byTime(range: Range): Asked[] {
  return product(LISTS, STANDINGS, [{}, requestOf(range)], DIRECTIONS).map(([list, standing, times, direction], i) => ({
    request: { ...list, ...standing, ...times, orderBy: `${range.order}${direction}` },
    order: range.order,
    deep: { where: "true", depth: DEPTHS[i % DEPTHS.length] ?? 0.5 },
  }));
}

function byOther(direction: string): Asked[] {
  const half = { where: "true", depth: 0.5 };
  return [
    { request: { orderBy: `job_id${direction}` }, order: "job_id", deep: half },
    {
      request: { jobIdPrefix: MANY_NAMES, orderBy: `job_id${direction}` },
      order: "job_id",
      deep: { where: startsWith(MANY_NAMES), depth: 0.5 },
    },
    { request: { orderBy: `duration${direction}` }, order: "duration", deep: half },
    ...ORDER_NAMES.map((order): Asked => ({ request: { jobId: ONE_NAME, orderBy: `${order}${direction}` }, order })),
  ];
}

/** A filter that lets few jobs through, with others that let many, in any order. */
function ofFew(ranges: readonly Range[]): Asked[] {
  const few: { request: Request; where: string }[] = [
    { request: { jobIdPrefix: FEW_NAMES }, where: startsWith(FEW_NAMES) },
    ...ranges.map((range) => ({ request: requestOf(range), where: isWithin(range) })),
  ];
  const filters: Request[] = [
    { initiator: "alice", states: ["Succeeded", "Failed"] },
    { domainId: "bob", statuses: ["Finished"], surface: "kuscia", jobIdContains: "bench" },
  ];
  return product(few, filters, ORDER_NAMES, DIRECTIONS).map(([{ request, where }, filter, order, direction]) => ({
    request: { ...request, ...filter, orderBy: `${order}${direction}` },
    order,
    deep: { where, depth: 0.5 },
  }));
}

function requestOf({ order, from, before }: Range): Request {
  const [low, high] = [timestampFromDate(from), timestampFromDate(before)];
  return order === "create_time" ? { createdFrom: low, createdBefore: high } : { updatedFrom: low, updatedBefore: high };
}

function isWithin({ order, from, before }: Range): string {
  const { column } = ORDERS[order];
  return `${column} >= '${from.toISOString()}' and ${column} < '${before.toISOString()}'`;
}

function startsWith(prefix: string): string {
  return `job_id >= '${prefix}' and job_id < '${prefix}~'`;
}

/** One of each, in every combination. */
function product<T extends readonly (readonly unknown[])[]>(...of: T): { [I in keyof T]: T[I][number] }[] {
  const all = of.reduce<readonly (readonly unknown[])[]>(
    (some, next) => some.flatMap((head) => next.map((value) => [...head, value])),
    [[]],
  );
  // Each has one value of each list, in the order of the lists.
  return all as { [I in keyof T]: T[I][number] }[];
}
