/**
 * Every call of Muster's own API in one table: its method and its handler. gRPC, gRPC-Web, Connect and REST all come
 * through `answer`; the REST path is the one that the proto says (google.api.http).
 */

import {
  type DescMessage,
  type DescMethodUnary,
  getOption,
  hasOption,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { http } from "../../../gen/google/api/annotations_pb.js";
import { JobsService } from "../../../gen/muster/v1/jobs_pb.js";
import { LogsService } from "../../../gen/muster/v1/logs_pb.js";
import { invalid } from "../../core/error.js";
import type { Actor, Instant } from "../../core/job.js";
import type { Jobs } from "../../jobs.js";
import type { Logs } from "../../logs.js";
import type { MessageInit } from "../../encoding/compile.js";
import { checkText } from "../../text.js";
import { eventQueryFromRequest, jobQueryFromRequest } from "./job-query.js";
import { wireFromEvent, wireFromJob, wireFromRecord } from "./job-translate.js";
import { logQueryFromRequest, wireFromTaskLog } from "./translate.js";

export interface MusterCall {
  readonly method: DescMethodUnary;
  /** Null where the call has no REST path. */
  readonly path: string | null;
  /** Throws JobError. */
  answer(request: Message, actor: Actor): Promise<MessageInit>;
}

export interface MusterDependencies {
  readonly jobs: Pick<Jobs, "query" | "list" | "events">;
  readonly logs: Logs;
  readonly now: () => Instant;
}

export function musterCalls({ jobs, logs, now }: MusterDependencies): readonly MusterCall[] {
  const readLogs = async (request: Parameters<typeof logQueryFromRequest>[0], actor: Actor) => {
    const found = await logs.read(logQueryFromRequest(request), actor);
    return { logs: found.map(wireFromTaskLog) };
  };
  return [
    call(JobsService.method.listJobs, async (request, actor) => {
      const page = await jobs.list(jobQueryFromRequest(request), actor);
      const at = now();
      return {
        jobs: page.jobs.map(({ job }) => wireFromJob(job, at)),
        nextPageToken: page.nextPageToken,
        ...(page.count && { count: { value: BigInt(page.count.value), exact: page.count.exact } }),
      };
    }),
    call(JobsService.method.getJob, async ({ jobId }, actor) => {
      if (jobId === "") throw invalid("job_id", "must not be empty");
      return { job: wireFromRecord(await jobs.query(jobId, actor), now()) };
    }),
    call(JobsService.method.listEvents, async (request, actor) => {
      const { events, nextPageToken } = await jobs.events(eventQueryFromRequest(request), actor);
      return { events: events.map(wireFromEvent), nextPageToken };
    }),
    call(JobsService.method.getLogs, readLogs),
    call(LogsService.method.getTaskLogs, readLogs),
  ];
}

function call<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  handle: (request: MessageShape<I>, actor: Actor) => Promise<MessageInitShape<O>>,
): MusterCall {
  return {
    method,
    path: pathOf(method),
    async answer(request, actor) {
      checkText(method.input, request);
      // The router and the REST decoder make requests by the descriptor of this very method.
      return handle(request as MessageShape<I>, actor);
    },
  };
}

function pathOf(method: DescMethodUnary): string | null {
  if (!hasOption(method, http)) return null;
  const { pattern } = getOption(method, http);
  if (pattern.case !== "get") throw new Error(`${method.name}: only GET is served`);
  return pattern.value;
}
