/**
 * A binary body that is no message of its method's type. Connect answers it as a fault of the server (`internal`), before
 * any code of ours runs; it is the client's fault (`invalid_argument`), as it is for JSON. Each protocol has a place of
 * its own where the answer says so.
 */

import { Code, ConnectError } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { errorFromJsonBytes, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { jsonOptions } from "./json.js";

/** How Connect begins what it says of such a body. */
const UNDECODABLE = "parse binary: ";

export function isUndecodable(error: unknown): error is ConnectError {
  return error instanceof ConnectError && error.code === Code.Internal && error.rawMessage.startsWith(UNDECODABLE);
}

/** The same error with the code that blames the client. */
export function asClientFault(error: ConnectError): ConnectError {
  return new ConnectError(error.rawMessage, Code.InvalidArgument);
}

/** The answer to a unary call, with the code put right where its body could not be decoded. */
export async function blameClient(answer: UniversalServerResponse): Promise<UniversalServerResponse> {
  const { header, trailer, body } = answer;
  if (trailer?.get("grpc-message")?.startsWith(encodeURIComponent(UNDECODABLE))) {
    trailer.set("grpc-status", String(Code.InvalidArgument));
    return answer;
  }
  const isWeb = header?.get("content-type")?.startsWith("application/grpc-web") === true;
  // What is said of such a body is too short to be compressed.
  if (!body || header?.has("content-encoding") || !(isWeb || answer.status === 500)) return answer;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const put = (status: number, text: Uint8Array): UniversalServerResponse => {
    if (header?.has("content-length")) header.set("content-length", String(text.byteLength));
    return { ...answer, status, body: once(text) };
  };
  if (isWeb) return put(answer.status, blameInTrailer(bytes));
  const error = readError(bytes);
  return isUndecodable(error) ? put(400, errorToJsonBytes(asClientFault(error), jsonOptions)) : put(500, bytes);
}

function readError(json: Uint8Array): ConnectError {
  const unreadable = new ConnectError("", Code.Unknown);
  try {
    return errorFromJsonBytes(json, undefined, unreadable);
  } catch {
    return unreadable;
  }
}

const TRAILER_FLAG = 0x80;
const PREFIX_BYTES = 5;

/** gRPC-Web sends trailers as the last frame of the body; an error of a unary call has no other. */
function blameInTrailer(frame: Buffer): Uint8Array {
  const text = frame.toString("latin1", PREFIX_BYTES);
  if (frame[0] !== TRAILER_FLAG || !text.includes(`grpc-message: ${encodeURIComponent(UNDECODABLE)}`)) return frame;
  const blamed = Buffer.from(text.replace(`grpc-status: ${Code.Internal}\r\n`, `grpc-status: ${Code.InvalidArgument}\r\n`));
  const prefix = Buffer.of(TRAILER_FLAG, 0, 0, 0, 0);
  prefix.writeUInt32BE(blamed.byteLength, 1);
  return Buffer.concat([prefix, blamed]);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
