/** Lists in memory: what the store must answer, said without any index. */

import { maySee } from "../src/core/access.js";
import type { Actor, Job, JobView } from "../src/core/job.js";
import { durationRank, type JobFilter, type JobOrder, shownStatus, type TimeRange } from "../src/core/list.js";

/** The jobs that are to be found, in order. */
export function listInMemory(views: readonly JobView[], filter: JobFilter, order: JobOrder, actor: Actor): JobView[] {
  const found = views.filter(({ job }) => maySee(actor, job) && matches(filter, job));
  return found.sort((a, b) => compare(order, a.job, b.job));
}

function matches(filter: JobFilter, job: Job): boolean {
  const within = (range: TimeRange | undefined, at: number): boolean =>
    (range?.from === undefined || at >= range.from) && (range?.before === undefined || at < range.before);
  const fields = [
    ...(filter.customFields ?? []),
    ...(filter.flowId === undefined ? [] : [{ key: "flow_id", value: filter.flowId, ignoreCase: false }]),
    ...(filter.scheduleId === undefined ? [] : [{ key: "schedule_id", value: filter.scheduleId, ignoreCase: false }]),
  ];
  return (
    (filter.initiator === undefined || job.initiator === filter.initiator) &&
    (filter.party === undefined || Object.hasOwn(job.domains, filter.party)) &&
    (!filter.states?.length || filter.states.includes(job.state)) &&
    (!filter.shown?.length || filter.shown.includes(shownStatus(job))) &&
    (filter.name === undefined || job.jobId === filter.name) &&
    (filter.namePrefix === undefined || job.jobId.startsWith(filter.namePrefix)) &&
    (filter.nameContains === undefined || job.jobId.includes(filter.nameContains.toLowerCase())) &&
    fields.every(({ key, value, ignoreCase }) => {
      const held = Object.hasOwn(job.customFields, key) ? job.customFields[key] : undefined;
      return ignoreCase ? held?.toLowerCase() === value.toLowerCase() : held === value;
    }) &&
    within(filter.created, job.createdAt) &&
    within(filter.updated, job.updatedAt) &&
    (filter.surface === undefined || job.surface === filter.surface)
  );
}

function compare({ key, descending }: JobOrder, a: Job, b: Job): number {
  const rank = {
    created: (job: Job) => job.createdAt,
    updated: (job: Job) => job.updatedAt,
    duration: durationRank,
    name: (job: Job) => job.jobId,
  }[key];
  const [x, y] = [rank(a), rank(b)];
  const order = x < y || (x === y && a.uid < b.uid) ? -1 : 1;
  return descending ? -order : order;
}
