/**
 * From a reason of the engine to Kuscia's in-band status (Kuscia Job API, error codes). There is no code for "not
 * found" or "exists" in general: each call has its own. The fields from 1000 on say the reason in words that programs
 * can match, whatever the call.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import type { StatusSchema } from "../../../gen/kuscia/proto/api/v1alpha1/common_pb.js";
import { ErrorCode } from "../../../gen/kuscia/proto/api/v1alpha1/errorcode/error_code_pb.js";
import { type ErrorReason, JobError } from "../../core/error.js";

export type StatusInit = MessageInitShape<typeof StatusSchema>;

export const SUCCESS: StatusInit = { code: ErrorCode.SUCCESS, message: "success" };

/** The codes of one call. What is not named is `failed`, or the code that all calls share. */
export interface CallCodes {
  readonly failed: ErrorCode;
  readonly notFound?: ErrorCode;
  readonly alreadyExists?: ErrorCode;
  readonly forbidden?: ErrorCode;
  readonly illegalMove?: ErrorCode;
  /** Where a container's cpu or memory is no quantity, which Kuscia finds after its other checks of content. */
  readonly badQuantity?: ErrorCode;
}

const QUANTITY_FIELD = /\.resources\.(limits|requests)\.(cpu|memory)$/;

const CODE_OF_REASON = {
  InvalidArgument: ({ badQuantity }, { field = "" }) =>
    badQuantity !== undefined && QUANTITY_FIELD.test(field) ? badQuantity : ErrorCode.KusciaAPIErrRequestValidate,
  AlreadyExists: (codes) => codes.alreadyExists ?? codes.failed,
  NotFound: (codes) => codes.notFound ?? codes.failed,
  Forbidden: (codes) => codes.forbidden ?? ErrorCode.KusciaAPIErrAuthFailed,
  IllegalMove: (codes) => codes.illegalMove ?? codes.failed,
  ResourceExhausted: (codes) => codes.failed,
  Unavailable: (codes) => codes.failed,
  Internal: () => ErrorCode.KusciaAPIErrForUnexpected,
} as const satisfies Record<ErrorReason, (codes: CallCodes, error: JobError) => ErrorCode>;

/** The status of a failed call. Faults of ours are logged with their cause and say no more than "internal error". */
export function statusFromError(error: unknown, codes: CallCodes, log: Logger): StatusInit {
  if (!(error instanceof JobError) || error.reason === "Internal") {
    log.error({ err: error }, "a Kuscia call failed");
    return status(ErrorCode.KusciaAPIErrForUnexpected, "internal error", "Internal", {});
  }
  const metadata = error.field === undefined ? error.metadata : { ...error.metadata, field: error.field };
  return status(CODE_OF_REASON[error.reason](codes, error), error.message, error.reason, metadata);
}

/** A body that could not be, or was not, read as the call's request. */
export function undecodable(message: string): StatusInit {
  return { code: ErrorCode.KusciaAPIErrForUnexpected, message };
}

function status(
  code: ErrorCode,
  message: string,
  reason: ErrorReason,
  metadata: Readonly<Record<string, string>>,
): StatusInit {
  return { code, message, reason, domain: "muster", metadata: { ...metadata } };
}
