/**
 * WatchJob over REST: JSON objects, one a line, in the plain JSON that Kuscia's watch uses: `type` is a number, and
 * what is unset is left out. Kuscia leaves `type` out of ADDED frames and writes no newlines; here it is always
 * there.
 */

import { create } from "@bufbuild/protobuf";
import {
  type WatchJobEventResponse,
  WatchJobEventResponseSchema,
  WatchJobRequestSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { ErrorCode } from "../../../gen/kuscia/proto/api/v1alpha1/errorcode/error_code_pb.js";
import { JobError } from "../../core/error.js";
import type { Refusal, RestRequest, RestResponse, RestRoute } from "../../surface.js";
import type { Hub } from "../../watch.js";
import {
  bodyFormat,
  decodeBody,
  refuse,
  restJson,
  sentence,
  statusResponse,
  unsupportedType,
  wantsExtensions,
} from "./rest.js";
import { watchFrames } from "./watch.js";

export function watchRoute(hub: Hub): RestRoute {
  return {
    method: "POST",
    path: "/api/v1/job/watch",
    refuse: refuseWatch,
    async handle(request): Promise<RestResponse> {
      const format = bodyFormat(request.headers);
      if (format === "unknown") return unsupportedType(request.headers.get("content-type"));
      let frames: AsyncIterable<WatchJobEventResponse>;
      try {
        const watch = asksForNothing(request) ? create(WatchJobRequestSchema) : decodeBody(WatchJobRequestSchema, request, format);
        frames = watchFrames(hub, watch, request.actor, request.signal);
      } catch (error) {
        const tooMany = error instanceof JobError && error.reason === "ResourceExhausted";
        return tooMany ? refuse({ kind: "TooMany", status: 429, message: error.message }) : unbindable(sentence(error));
      }
      const headers = { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" };
      return { status: 200, headers, body: lines(frames, request) };
    },
  };
}

/** Kuscia binds a POST without a body and a content type to the empty request. */
function asksForNothing({ body, headers }: RestRequest): boolean {
  return body.byteLength === 0 && !headers.has("content-type");
}

/** A body that cannot be bound is HTTP 400 here, while the other calls say such things with HTTP 200. */
function unbindable(message: string): RestResponse {
  return statusResponse(400, { code: ErrorCode.KusciaAPIErrRequestValidate, message }, "json");
}

function refuseWatch(refusal: Refusal): RestResponse {
  return refusal.kind === "Unreadable" ? unbindable(refusal.message) : refuse(refusal);
}

async function* lines(frames: AsyncIterable<WatchJobEventResponse>, request: RestRequest): AsyncGenerator<string> {
  const toLine = wantsExtensions(request) ? (frame: WatchJobEventResponse) => write(frame, true) : sharedLine;
  try {
    for await (const frame of frames) yield toLine(frame);
  } catch (error) {
    // The client has gone or the server stops: the body just ends. Anything else must look broken to the client.
    if (!request.signal.aborted) throw error;
  }
}

const linesSoFar = new WeakMap<WatchJobEventResponse, string>();

function sharedLine(frame: WatchJobEventResponse): string {
  const known = linesSoFar.get(frame);
  if (known !== undefined) return known;
  const line = write(frame, false);
  linesSoFar.set(frame, line);
  return line;
}

function write(frame: WatchJobEventResponse, extensions: boolean): string {
  const json = restJson(WatchJobEventResponseSchema, frame, { extensions, defaults: false });
  return `${JSON.stringify({ type: frame.type, ...json })}\n`;
}
