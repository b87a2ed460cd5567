/** How a reason of the engine reads on Muster's own REST routes: an HTTP status, and the words of Connect's errors. */

import type { Logger } from "pino";
import { type ErrorReason, JobError } from "../../core/error.js";
import type { RestResponse } from "../../surface.js";

export const HTTP_ERRORS = {
  InvalidArgument: [400, "invalid_argument"],
  AlreadyExists: [409, "already_exists"],
  NotFound: [404, "not_found"],
  Forbidden: [403, "permission_denied"],
  IllegalMove: [409, "failed_precondition"],
  ResourceExhausted: [429, "resource_exhausted"],
  Unavailable: [503, "unavailable"],
  Internal: [500, "internal"],
} as const satisfies Record<ErrorReason, readonly [status: number, code: string]>;

/** `{"code","message"}`. Faults of ours are logged with their cause and say no more than "internal error". */
export function errorResponse(error: unknown, log: Logger): RestResponse {
  const known = error instanceof JobError && error.reason !== "Internal";
  if (!known) log.error({ err: error }, "a request failed");
  const [status, code] = HTTP_ERRORS[known ? error.reason : "Internal"];
  const body = JSON.stringify({ code, message: known ? error.message : "internal error" });
  return { status, headers: { "content-type": "application/json; charset=utf-8" }, body };
}
