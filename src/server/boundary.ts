/** What becomes of an error on its way to a gRPC or Connect client: no detail leaves that a client should not see. */

import { Code, ConnectError } from "@connectrpc/connect";
import type { Logger } from "pino";
import { type ErrorReason, JobError } from "../core/error.js";

/** How a transport error of the engine reads to gRPC and Connect clients. */
export const CONNECT_CODES = {
  InvalidArgument: Code.InvalidArgument,
  AlreadyExists: Code.AlreadyExists,
  NotFound: Code.NotFound,
  Forbidden: Code.PermissionDenied,
  IllegalMove: Code.FailedPrecondition,
  ResourceExhausted: Code.ResourceExhausted,
  Unavailable: Code.Unavailable,
  Internal: Code.Internal,
} as const satisfies Record<ErrorReason, Code>;

export interface ErrorContext {
  /** Service and method. */
  readonly call: string;
  /** Whether the call's signal was aborted with this error. */
  readonly isReason: (error: unknown) => boolean;
  readonly log: Logger;
}

export function toConnectError(error: unknown, { call, isReason, log }: ErrorContext): ConnectError {
  if (error instanceof ConnectError) return error;
  // The client has gone or the deadline has passed: the reason is already a ConnectError or an AbortError.
  if (isReason(error)) return ConnectError.from(error, Code.Canceled);
  if (hasLeft(error)) return new ConnectError("the client has left", Code.Canceled);
  if (error instanceof JobError && error.reason !== "Internal") {
    return new ConnectError(error.message, CONNECT_CODES[error.reason]);
  }
  log.error({ err: error, call }, "a call failed");
  return new ConnectError("internal error", Code.Internal);
}

/** What reading a stream throws whose client went away in the middle. */
function hasLeft(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ERR_STREAM_PREMATURE_CLOSE" || code === "ECONNRESET" || code === "ABORT_ERR";
}
