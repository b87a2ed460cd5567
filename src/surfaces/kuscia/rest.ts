/**
 * The REST encoding of the Kuscia API (Kuscia Job API, HTTP binding): one POST route per call, JSON or binary
 * protobuf as the request's content type says, every error with HTTP 200 and its code in the body. What differs from
 * protobuf JSON: unset messages are written as `null`. Fields from 1000 on are ours and are left out unless asked for
 * with the header `Muster-Extensions: 1` or `?extensions=1`, since strict clients reject what they do not know.
 */

import {
  create,
  type DescMessage,
  fromBinary,
  type JsonObject,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { ErrorResponseSchema } from "../../../gen/kuscia/proto/api/v1alpha1/common_pb.js";
import { ErrorCode } from "../../../gen/kuscia/proto/api/v1alpha1/errorcode/error_code_pb.js";
import type { Logger } from "pino";
import { binaryExcess } from "../../encoding/values.js";
import type { Refusal, RestRequest, RestResponse, RestRoute } from "../../surface.js";
import { type StatusInit, statusFromError, undecodable } from "./errors.js";
import { readJson } from "./json-body.js";
import type { KusciaCall } from "./routes.js";

const JSON_TYPE = "application/json; charset=utf-8";
const PROTOBUF_TYPE = "application/x-protobuf";
const FIRST_EXTENSION = 1000;

export type BodyFormat = "json" | "protobuf" | "unknown";

/** The format of a request's body, which is also that of the answer. No content type means JSON, as Kuscia reads it. */
export function bodyFormat(headers: Headers): BodyFormat {
  const type = (headers.get("content-type") ?? "").trim().toLowerCase();
  if (type === "" || /^text\/plain\s*(;|$)/.test(type) || type.startsWith("application/json")) return "json";
  return type.startsWith(PROTOBUF_TYPE) ? "protobuf" : "unknown";
}

/** The request's message. Throws an Error that says what is wrong with the body. */
export function decodeBody<M extends DescMessage>(desc: M, request: RestRequest, format: BodyFormat) {
  if (format === "protobuf") return readBinary(desc, request.body);
  if (request.body.byteLength === 0) throw new Error("the body is empty; an empty request is written {}");
  return readJson(desc, textOf(request.body));
}

function readBinary<M extends DescMessage>(desc: M, body: Uint8Array) {
  const excess = binaryExcess(desc, body);
  if (excess !== undefined) throw new Error(`the protobuf body ${excess}`);
  try {
    return fromBinary(desc, body);
  } catch (error) {
    throw new Error(`the body is no ${desc.name} in protobuf: ${sentence(error)}`, { cause: error });
  }
}

function textOf(body: Uint8Array): string {
  try {
    return utf8.decode(body);
  } catch (error) {
    throw new Error("the body is no text in UTF-8", { cause: error });
  }
}
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** One route per unary call of the table. */
export function unaryRoute(call: KusciaCall, log: Logger): RestRoute {
  return {
    method: "POST",
    path: call.path,
    async handle(request) {
      const format = bodyFormat(request.headers);
      if (format === "unknown") return unsupportedType(request.headers.get("content-type"));
      let message: Message;
      try {
        message = decodeBody(call.method.input, request, format);
      } catch (error) {
        return statusResponse(200, undecodable(sentence(error)), format);
      }
      let answer: Message;
      try {
        answer = await call.answer(message, request.actor);
      } catch (error) {
        return statusResponse(429, statusFromError(error, call.codes, log), format);
      }
      return encode(call.method.output, answer, format, wantsExtensions(request));
    },
  };
}

const REFUSALS = {
  Unauthenticated: () => ({ status: 401, headers: {}, body: "" }),
  TooLarge: (message) => statusResponse(413, { code: ErrorCode.KusciaAPIErrRequestValidate, message }, "json"),
  Unreadable: (message) => statusResponse(200, undecodable(message), "json"),
  ContentType: (message) => statusResponse(415, undecodable(message), "json"),
  TooMany: (message) => statusResponse(429, undecodable(message), "json"),
} as const satisfies Record<Refusal["kind"], (message: string) => RestResponse>;

/** Refusals that the server makes before a route's handler runs; WatchJob has a rule of its own. */
export function refuse(refusal: Refusal): RestResponse {
  return REFUSALS[refusal.kind](refusal.message);
}

export function unsupportedType(contentType: string | null): RestResponse {
  const message = `content type "${contentType ?? ""}" is not served; send application/json or ${PROTOBUF_TYPE}`;
  return statusResponse(415, undecodable(message), "json");
}

/** An answer that is nothing but a status: there is no `data`, and `details` is left out, as Kuscia does. */
export function statusResponse(httpStatus: number, status: StatusInit, format: BodyFormat): RestResponse {
  const answer = create(ErrorResponseSchema, { status });
  if (format === "protobuf") return protobuf(httpStatus, toBinary(ErrorResponseSchema, answer));
  return json(httpStatus, { status: { code: answer.status?.code ?? 0, message: answer.status?.message ?? "" } });
}

export function encode(desc: DescMessage, answer: Message, format: BodyFormat, extensions: boolean): RestResponse {
  if (format === "protobuf") return protobuf(200, toBinary(desc, answer));
  return json(200, restJson(desc, answer, { extensions, defaults: true }));
}

export function json(status: number, body: JsonValue): RestResponse {
  return { status, headers: { "content-type": JSON_TYPE }, body: JSON.stringify(body) };
}

function protobuf(status: number, body: Uint8Array): RestResponse {
  return { status, headers: { "content-type": PROTOBUF_TYPE }, body };
}

export function wantsExtensions(request: RestRequest): boolean {
  return request.headers.get("muster-extensions") === "1" || request.url.searchParams.get("extensions") === "1";
}

/** What went wrong while decoding, without the name of our parser's exception. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : "the body cannot be decoded";
}

export interface RestJsonOptions {
  readonly extensions: boolean;
  /** True: defaults are written out and unset messages are `null`. False: both are left out, and enums are numbers. */
  readonly defaults: boolean;
}

/** A message as REST writes it: proto names in field order. */
export function restJson(desc: DescMessage, message: Message, options: RestJsonOptions): JsonObject {
  const { defaults } = options;
  const value = toJson(desc, message, {
    useProtoFieldName: true,
    alwaysEmitImplicit: defaults,
    enumAsInteger: !defaults,
  });
  // JSON of a message that is no well-known type is always an object.
  return finish(desc, value as JsonObject, options);
}

function finish(desc: DescMessage, value: JsonObject, options: RestJsonOptions): JsonObject {
  const result: JsonObject = {};
  for (const field of desc.fields) {
    if (field.number >= FIRST_EXTENSION && !options.extensions) continue;
    const item = value[field.name];
    const inner = field.message;
    if (item === undefined) {
      if (options.defaults && field.fieldKind === "message") result[field.name] = null;
    } else if (!inner || inner.typeName.startsWith("google.protobuf.")) {
      result[field.name] = item;
    } else if (field.fieldKind === "list") {
      // toJson writes lists as arrays and maps and messages as objects.
      result[field.name] = (item as JsonObject[]).map((each) => finish(inner, each, options));
    } else if (field.fieldKind === "map") {
      const entries = Object.entries(item as Readonly<Record<string, JsonObject>>);
      result[field.name] = Object.fromEntries(entries.map(([key, each]) => [key, finish(inner, each, options)]));
    } else {
      result[field.name] = finish(inner, item as JsonObject, options);
    }
  }
  return result;
}
