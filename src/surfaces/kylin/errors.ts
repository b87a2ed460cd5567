/**
 * Answers of this surface: one envelope for success and for failure. The HTTP status carries the class of a failure;
 * `code` is "999" for all of them, and `exception`, the field that clients print, says the same as `msg`.
 */

import type { Logger } from "pino";
import { type ErrorReason, JobError } from "../../core/error.js";
import type { Refusal, RefusedRequest, RestResponse } from "../../surface.js";
import { JSON_TYPE, type MediaType, mediaTypeFor } from "./media-type.js";

const SUCCESS = "000";
const FAILURE = "999";

const HTTP_STATUS = {
  InvalidArgument: 400,
  AlreadyExists: 400,
  NotFound: 404,
  Forbidden: 403,
  IllegalMove: 400,
  ResourceExhausted: 429,
  Unavailable: 503,
  Internal: 500,
} as const satisfies Record<ErrorReason, number>;

export function success(data: unknown, type: MediaType, headers: Readonly<Record<string, string>> = {}): RestResponse {
  return answer(200, { code: SUCCESS, data, msg: "" }, type, headers);
}

/** Faults of ours are logged with their cause and say no more than "internal error". */
export function failure(error: unknown, url: URL, type: MediaType, log: Logger): RestResponse {
  const known = error instanceof JobError && error.reason !== "Internal";
  if (!known) log.error({ err: error }, "a Kylin call failed");
  const reason = known ? error.reason : "Internal";
  return refusal(HTTP_STATUS[reason], known ? error.message : "internal error", url, type);
}

export function refusal(
  status: number,
  message: string,
  url: URL,
  type: MediaType,
  headers: Readonly<Record<string, string>> = {},
): RestResponse {
  const body = { code: FAILURE, data: null, msg: message, exception: message, stacktrace: "", url: url.href };
  return answer(status, body, type, headers);
}

/** Browsers and command line tools ask for a name and a password after this. */
const CHALLENGE = { "www-authenticate": 'Basic realm="muster", charset="UTF-8"' } as const;

/** Refusals that the server makes before a route's handler runs. */
export function refuse({ kind, status, message }: Refusal, { url, headers }: RefusedRequest): RestResponse {
  const type = mediaTypeFor(headers.get("accept")) ?? JSON_TYPE;
  return refusal(status, message, url, type, kind === "Unauthenticated" ? CHALLENGE : {});
}

function answer(status: number, body: object, type: MediaType, headers: Readonly<Record<string, string>>): RestResponse {
  return { status, headers: { ...headers, "content-type": `${type};charset=UTF-8` }, body: JSON.stringify(body) };
}
