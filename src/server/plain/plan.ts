/** How a call is answered, decided by its head. */

import type { BodyShare } from "../body-room.js";
import type { Actor } from "../../core/job.js";
import type { Exchange } from "../exchange.js";
import type { Head } from "../head.js";
import { Http2Exchange } from "../http2.js";
import { connectJson, connectProto } from "./connect.js";
import type { PlainFormat } from "./format.js";
import { grpc } from "./grpc.js";

/** A call of an admitted caller. */
export interface Incoming {
  readonly exchange: Exchange;
  readonly head: Head;
  /** Absent for calls that need no credential. */
  readonly actor: Actor | undefined;
  /** What its body takes of the room for all. */
  readonly share: BodyShare;
}

export interface CallPlan {
  readonly format: PlainFormat;
  /** Whether the client takes gzip. */
  readonly gzip: boolean;
  /** In milliseconds of the system's clock. */
  readonly deadline: number | undefined;
  readonly maxBodyBytes: number;
}

const FORMATS: ReadonlyMap<string, PlainFormat> = new Map([
  ["application/grpc", grpc],
  ["application/grpc+proto", grpc],
  ["application/json", connectJson],
  ["application/json; charset=utf-8", connectJson],
  ["application/json;charset=utf-8", connectJson],
  ["application/proto", connectProto],
]);

/** Undefined where the head asks for anything unusual. */
export function planCall(exchange: Exchange, head: Head, maxBodyBytes: number): CallPlan | undefined {
  const format = FORMATS.get(head.get("content-type") ?? "");
  if (!format || head.method !== "POST") return undefined;
  if (format === grpc && !(exchange instanceof Http2Exchange)) return undefined;
  const encoding = head.get(format.encodingHeader);
  if (encoding !== null && encoding !== "identity") return undefined;
  if (Number(head.get("content-length") ?? 0) > maxBodyBytes) return undefined;
  const accepted = head.get(format.acceptEncodingHeader);
  const gzip = accepted !== null && accepted.split(",").some((name) => name.trim() === "gzip");
  const timeout = head.get(format.timeoutHeader);
  if (timeout === null) return { format, gzip, deadline: undefined, maxBodyBytes };
  const timeoutMs = format.timeoutMs(timeout);
  return timeoutMs === undefined ? undefined : { format, gzip, deadline: Math.trunc(Date.now() + timeoutMs), maxBodyBytes };
}
