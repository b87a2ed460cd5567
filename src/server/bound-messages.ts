/**
 * Bodies on their way to the Connect router, which makes objects of a binary message before any code of ours sees it.
 * Each message is looked at in its bytes, decompressed where it comes so, and one that holds too many values ends the body
 * with `invalid_argument`. What cannot be looked at goes on as it is: the router says what is wrong with it. JSON has its
 * bound where it is decoded.
 */

import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { binaryExcess, MAX_VALUES } from "../encoding/values.js";
import { join } from "./body.js";
import type { HeaderFields } from "./head.js";

export interface MessageBounds {
  readonly desc: DescMessage;
  readonly head: HeaderFields;
  /** What the router takes of a message; also of what a compressed one holds. */
  readonly maxBytes: number;
}

type Body = AsyncIterable<Uint8Array>;

/** Resolves where the message may go on. */
type Look = (message: Uint8Array, compressed: boolean) => Promise<void>;

export function boundMessages(body: Body, { desc, head, maxBytes }: MessageBounds): Body {
  const type = head.get("content-type")?.toLowerCase() ?? "";
  if (type.includes("json")) return body;
  const isWhole = type === "application/proto";
  const isConnect = type.startsWith("application/connect");
  const encoding = head.get(isWhole ? "content-encoding" : isConnect ? "connect-content-encoding" : "grpc-encoding");
  const gzip = encoding === compressionGzip.name;
  const look: Look = async (message, compressed) => {
    const plain = compressed && gzip ? await inflated(message, maxBytes) : message;
    const excess = plain && binaryExcess(desc, plain);
    if (excess !== undefined) throw new ConnectError(`the message ${excess}`, Code.InvalidArgument);
  };
  return isWhole ? wholeBody(body, look, maxBytes) : envelopes(body, look, maxBytes);
}

/** The message is the body. */
async function* wholeBody(body: Body, look: Look, maxBytes: number): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size <= maxBytes) continue;
    yield* chunks;
    chunks = [];
  }
  const message = join(chunks);
  await look(message, true);
  yield message;
}

const PREFIX_BYTES = 5;
const COMPRESSED = 1;

/** Each message has a prefix with its flags and its length. They go on one by one, each in one piece. */
async function* envelopes(body: Body, look: Look, maxBytes: number): AsyncGenerator<Uint8Array> {
  let chunks: Uint8Array[] = [];
  let size = 0;
  let needed = PREFIX_BYTES;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size < needed) continue;
    let rest = join(chunks);
    for (needed = sizeOf(rest); rest.byteLength >= needed; needed = sizeOf(rest)) {
      await look(rest.subarray(PREFIX_BYTES, needed), ((rest[0] ?? 0) & COMPRESSED) !== 0);
      yield rest.subarray(0, needed);
      rest = rest.subarray(needed);
    }
    chunks = [rest];
    size = rest.byteLength;
    // Its prefix is all that the router needs to refuse it.
    if (needed > PREFIX_BYTES + maxBytes) break;
  }
  if (size > 0) yield join(chunks);
}

/** Of the first envelope in the bytes; that of its prefix where there is not all of it yet. */
function sizeOf(bytes: Uint8Array): number {
  if (bytes.byteLength < PREFIX_BYTES) return PREFIX_BYTES;
  return PREFIX_BYTES + Buffer.from(bytes.buffer, bytes.byteOffset, PREFIX_BYTES).readUInt32BE(1);
}

/** Deflate makes no more than this of one byte. */
const MAX_INFLATION = 1032;

/** Undefined where it cannot be told, or is too short to hold too much. */
async function inflated(message: Uint8Array, maxBytes: number): Promise<Uint8Array | undefined> {
  if (message.byteLength * MAX_INFLATION <= MAX_VALUES) return undefined;
  try {
    return await compressionGzip.decompress(message, maxBytes);
  } catch {
    return undefined;
  }
}
