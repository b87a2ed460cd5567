/** What a request for jobs or events asks for. Every rule that is broken is InvalidArgument and names its field. */

import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { ListEventsRequest, ListJobsRequest } from "../../../gen/muster/v1/jobs_pb.js";
import { invalid, quoted } from "../../core/error.js";
import { JOB_STATES } from "../../core/job.js";
import {
  type EventQuery,
  type JobFilter,
  type JobOrder,
  type JobQuery,
  MAX_PAGE_SIZE,
  SHOWN_STATUSES,
  type SortKey,
  type TimeRange,
} from "../../core/list.js";

const DEFAULT_PAGE_SIZE = 50;

export function jobQueryFromRequest(request: ListJobsRequest): JobQuery {
  return {
    filter: filterFromRequest(request),
    order: orderFromText(request.orderBy),
    pageSize: pageSizeFrom(request.pageSize),
    start: { pageToken: request.pageToken },
    count: request.count,
    tasks: false,
  };
}

export function eventQueryFromRequest({ jobId, pageSize, pageToken, afterRevision }: ListEventsRequest): EventQuery {
  if (jobId === "") throw invalid("job_id", "must not be empty");
  if (afterRevision < 0n) throw invalid("after_revision", `must not be negative, got ${afterRevision}`);
  return { jobId, pageSize: pageSizeFrom(pageSize), pageToken, after: afterRevision };
}

function pageSizeFrom(asked: number): number {
  if (asked < 0) throw invalid("page_size", `must not be negative, got ${asked}`);
  return Math.min(asked === 0 ? DEFAULT_PAGE_SIZE : asked, MAX_PAGE_SIZE);
}

function filterFromRequest(request: ListJobsRequest): JobFilter {
  const { initiator, domainId, jobId, jobIdPrefix, jobIdContains, flowId, scheduleId, surface } = request;
  const created = rangeOf("created", request.createdFrom, request.createdBefore);
  const updated = rangeOf("updated", request.updatedFrom, request.updatedBefore);
  return {
    ...(initiator !== "" && { initiator }),
    ...(domainId !== "" && { party: domainId }),
    states: request.states.map((text, i) => oneOf(`states[${i}]`, text, JOB_STATES)),
    shown: request.statuses.map((text, i) => oneOf(`statuses[${i}]`, text, SHOWN_STATUSES)),
    ...(jobId !== "" && { name: jobId }),
    ...(jobIdPrefix !== "" && { namePrefix: jobIdPrefix }),
    ...(jobIdContains !== "" && { nameContains: jobIdContains }),
    customFields: Object.entries(request.customFields).map(([key, value]) => ({ key, value })),
    ...(flowId !== "" && { flowId }),
    ...(scheduleId !== "" && { scheduleId }),
    ...(created && { created }),
    ...(updated && { updated }),
    ...(surface !== "" && { surface }),
  };
}

function oneOf<T extends string>(field: string, text: string, words: readonly T[]): T {
  const word = words.find((each) => each === text);
  if (word === undefined) throw invalid(field, `must be one of ${words.join(", ")}, got ${quoted(text)}`);
  return word;
}

const KEY_OF_FIELD: Readonly<Record<string, SortKey>> = {
  create_time: "created",
  update_time: "updated",
  job_id: "name",
  duration: "duration",
};

function orderFromText(text: string): JobOrder {
  if (text.trim() === "") return { key: "created", descending: true };
  const [field = "", direction = "asc", ...more] = text.trim().split(/\s+/);
  const key = Object.hasOwn(KEY_OF_FIELD, field) ? KEY_OF_FIELD[field] : undefined;
  if (key === undefined || !/^(asc|desc)$/.test(direction) || more.length > 0) {
    const fields = Object.keys(KEY_OF_FIELD).join(", ");
    throw invalid("order_by", `must be one of ${fields}, with " desc" for descending, got ${quoted(text)}`);
  }
  return { key, descending: direction === "desc" };
}

function rangeOf(name: string, from: Timestamp | undefined, before: Timestamp | undefined): TimeRange | undefined {
  if (!from && !before) return undefined;
  return {
    ...(from && { from: instantOf(`${name}_from`, from) }),
    ...(before && { before: instantOf(`${name}_before`, before) }),
  };
}

const FIRST_SECOND = -62_135_596_800n;
const LAST_SECOND = 253_402_300_799n;

/** Jobs have times of whole milliseconds, so the next one stands for what lies between two. */
function instantOf(field: string, { seconds, nanos }: Timestamp): number {
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND || nanos < 0 || nanos > 999_999_999) {
    throw invalid(field, "must be a time of the years 1 to 9999");
  }
  return Number(seconds) * 1000 + Math.ceil(nanos / 1_000_000);
}
