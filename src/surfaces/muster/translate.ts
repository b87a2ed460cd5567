/** Logs between the wire and the engine, both ways (messages of muster/v1/logs.proto). */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GetLogsRequest } from "../../../gen/muster/v1/jobs_pb.js";
import type { TaskLogSchema } from "../../../gen/muster/v1/logs_pb.js";
import { invalid } from "../../core/error.js";
import { DEFAULT_TAIL_BYTES, type LogQuery, MAX_TAIL_BYTES, type TaskLog } from "../../logs.js";

/** What both services ask for logs with. */
type LogsRequest = Omit<GetLogsRequest, "$typeName" | "$unknown">;

/** Checks the request's rules. Throws InvalidArgument. */
export function logQueryFromRequest(request: LogsRequest): LogQuery {
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
