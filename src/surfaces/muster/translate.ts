/** Logs between the wire and the engine, both ways (messages of muster/v1/logs.proto). */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type GetTaskLogsRequest,
  GetTaskLogsRequestSchema,
  type TaskLogSchema,
} from "../../../gen/muster/v1/logs_pb.js";
import { invalid } from "../../core/error.js";
import { DEFAULT_TAIL_BYTES, type LogQuery, MAX_TAIL_BYTES, type TaskLog } from "../../logs.js";

const MAX_INT32 = 2_147_483_647;

/** Checks the request's rules. Throws InvalidArgument. */
export function logQueryFromRequest(request: GetTaskLogsRequest): LogQuery {
  const { jobId, task, domainId, role, attempt, tailBytes } = request;
  if (jobId === "") throw invalid("job_id", "must not be empty");
  if (attempt < 0) throw invalid("attempt", `must not be negative, got ${attempt}`);
  if (tailBytes < 0 || tailBytes > MAX_TAIL_BYTES) {
    throw invalid("tail_bytes", `must be between 0 and ${MAX_TAIL_BYTES}, got ${tailBytes}`);
  }
  return {
    jobId,
    task,
    domain: domainId,
    ...(role !== "" && { role }),
    attempt,
    tailBytes: tailBytes || DEFAULT_TAIL_BYTES,
  };
}

/** The same request as a path and a query. Throws InvalidArgument naming a number that is none. */
export function requestFromQuery(jobId: string, query: URLSearchParams): GetTaskLogsRequest {
  return create(GetTaskLogsRequestSchema, {
    jobId,
    task: query.get("task") ?? "",
    domainId: query.get("domain_id") ?? "",
    role: query.get("role") ?? "",
    attempt: int32("attempt", query.get("attempt")),
    tailBytes: int32("tail_bytes", query.get("tail_bytes")),
  });
}

function int32(field: string, text: string | null): number {
  if (text === null) return 0;
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= MAX_INT32) return value;
  throw invalid(field, `must be a whole number from 0 to ${MAX_INT32}, got "${text}"`);
}

export function wireFromTaskLog(log: TaskLog): MessageInitShape<typeof TaskLogSchema> {
  return {
    taskAlias: log.alias,
    taskId: log.taskId,
    domainId: log.domain,
    role: log.role,
    replica: log.replica,
    attempt: log.attempt,
    state: log.state,
    ...(log.exitCode !== null && { exitCode: log.exitCode }),
    signal: log.signal ?? "",
    truncated: log.truncated,
    text: log.text,
  };
}
