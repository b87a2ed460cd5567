/** The request of a plain call. */

import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import type { MethodSerializationLookup } from "@connectrpc/connect/protocol";
import { binaryExcess } from "../../encoding/values.js";
import { type Collected, join } from "../body.js";
import type { Head } from "../head.js";
import type { PlainFormat } from "./format.js";

/** Bodies are bounded while they are read; answers are not. */
export const NO_LIMITS = { readMaxBytes: 0xffff_ffff, writeMaxBytes: 0xffff_ffff };

export interface RequestKind {
  readonly format: PlainFormat;
  readonly head: Head;
  readonly method: DescMethod;
}

/** Undefined where the body is not exactly one plain message of the method's type, or one that holds too much. */
export function requestOf(
  { chunks, complete }: Collected,
  { format, head, method }: RequestKind,
  messages: MethodSerializationLookup<DescMessage, DescMessage>,
): Message | undefined {
  if (!complete) return undefined;
  const body = join(chunks);
  const promised = head.get("content-length");
  if (promised !== null && Number(promised) !== body.byteLength) return undefined;
  const payload = format.payloadOf(body);
  if (payload === undefined) return undefined;
  if (format.binary && binaryExcess(method.input, payload) !== undefined) return undefined;
  try {
    return messages.getI(format.binary).parse(payload);
  } catch {
    return undefined;
  }
}
