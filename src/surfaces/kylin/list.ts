/**
 * Pages of the list. The engine's lists know no order by status and none by cube, so the first is put together from one
 * list for each status, and the second is sorted here, as long as the matches are few.
 */

import { invalid, JobError } from "../../core/error.js";
import type { Actor, JobView } from "../../core/job.js";
import {
  type JobCount,
  type JobFilter,
  type JobOrder,
  MAX_OFFSET,
  MAX_PAGE_TASKS,
  SHOWN_STATUSES,
  type ShownStatus,
} from "../../core/list.js";
import type { Jobs } from "../../jobs.js";
import type { ListParameters } from "./parameters.js";
import { JOB_STATUS } from "./states.js";
import { cubeOf, CUSTOM_FIELDS } from "./translate.js";

export interface Listed {
  readonly views: readonly JobView[];
  /** Of all matches. */
  readonly size: JobCount;
}

interface Asked {
  readonly filter: JobFilter;
  readonly order: JobOrder;
  readonly offset: number;
  readonly pageSize: number;
}

type Lister = Pick<Jobs, "list" | "queryMany">;

/** Throws InvalidArgument where the page begins too far back, holds too much, or its order is not to be had. */
export async function listJobs(jobs: Lister, parameters: ListParameters, actor: Actor): Promise<Listed> {
  const { sortBy, descending, pageOffset, pageSize } = parameters;
  const offset = pageOffset * pageSize;
  if (offset > MAX_OFFSET) {
    throw invalid("pageOffset", `a page must begin within the first ${MAX_OFFSET} jobs, got ${pageOffset}; narrow the filter instead`);
  }
  const key = sortBy === "status" || sortBy === "cube" ? "created" : sortBy;
  const asked: Asked = { filter: filterOf(parameters), order: { key, descending }, offset, pageSize };
  const list = sortBy === "status" ? byStatus : sortBy === "cube" ? byCube : pageOf;
  const listed = await list(jobs, asked, actor);
  checkSteps(listed.views);
  return listed;
}

function checkSteps(views: readonly JobView[]): void {
  const steps = views.reduce((sum, view) => sum + view.job.counts.total, 0);
  if (steps > MAX_PAGE_TASKS) throw tooManySteps();
}

function tooManySteps(): JobError {
  return invalid("pageSize", `the jobs of this page have more than ${MAX_PAGE_TASKS} steps; ask for fewer jobs at once`);
}

function filterOf({ modifiedSince, statuses, jobName, projectName }: ListParameters): JobFilter {
  const project = { key: CUSTOM_FIELDS.project, value: projectName, ignoreCase: true };
  return {
    ...(modifiedSince !== null && { updated: { from: modifiedSince } }),
    ...(statuses.length > 0 && { shown: statuses }),
    ...(jobName !== "" && { nameContains: jobName }),
    ...(projectName !== "" && { customFields: [project] }),
  };
}

async function pageOf(jobs: Lister, { filter, order, offset, pageSize }: Asked, actor: Actor): Promise<Listed> {
  try {
    const page = await jobs.list({ filter, order, pageSize, start: { offset }, count: true }, actor);
    return { views: page.jobs, size: page.count ?? { value: page.jobs.length, exact: false } };
  } catch (error) {
    // The size itself is checked before, so it is about what the page holds.
    throw error instanceof JobError && error.field === "page_size" ? tooManySteps() : error;
  }
}

async function byStatus(jobs: Lister, asked: Asked, actor: Actor): Promise<Listed> {
  const { filter, order, pageSize } = asked;
  const views: JobView[] = [];
  let size: JobCount = { value: 0, exact: true };
  let { offset } = asked;
  for (const status of statusesInOrder(filter.shown, order.descending)) {
    const part = { filter: { ...filter, shown: [status] }, order, offset, pageSize: pageSize - views.length };
    const listed = await pageOf(jobs, part, actor);
    views.push(...listed.views);
    size = { value: size.value + listed.size.value, exact: size.exact && listed.size.exact };
    // More matches than are counted are more than any offset skips.
    offset = listed.size.exact ? Math.max(0, offset - listed.size.value) : 0;
  }
  return { views, size };
}

function statusesInOrder(among: readonly ShownStatus[] = SHOWN_STATUSES, descending: boolean): readonly ShownStatus[] {
  const ordered = among.toSorted((a, b) => compare(JOB_STATUS[a], JOB_STATUS[b]));
  return descending ? ordered.toReversed() : ordered;
}

/** As many matches as one page holds. */
const MOST_SORTED_HERE = 1000;

async function byCube(jobs: Lister, { filter, order, offset, pageSize }: Asked, actor: Actor): Promise<Listed> {
  const query = { filter, order, start: { offset: 0 }, count: true, tasks: false };
  const page = await jobs.list({ ...query, pageSize: MOST_SORTED_HERE }, actor);
  const size = page.count ?? { value: page.jobs.length, exact: page.nextPageToken === "" };
  if (size.value > MOST_SORTED_HERE || page.nextPageToken !== "") {
    throw invalid("sortby", `cube_name sorts at most ${MOST_SORTED_HERE} jobs, and here are ${size.value}; narrow the filter`);
  }
  const sign = order.descending ? -1 : 1;
  const sorted = page.jobs.toSorted((a, b) => sign * (compare(cubeOf(a.job), cubeOf(b.job)) || compare(a.job.uid, b.job.uid)));
  const wanted = sorted.slice(offset, offset + pageSize);
  checkSteps(wanted);
  const { found } = await jobs.queryMany(wanted.map((view) => view.job.jobId), actor);
  return { views: found, size };
}

/** By code unit, not by the rules of a language. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
