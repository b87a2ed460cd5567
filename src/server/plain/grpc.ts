/** Plain unary calls of gRPC over HTTP/2: one binary message with a 5-byte prefix each way, and the status in trailers. */

import { parseTimeout, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { compressionGzip } from "@connectrpc/connect-node";
import { bytesOf } from "../../encoding/ascii.js";
import { encodeBinary } from "../../encoding/binary.js";
import { MAX_TIMEOUT_MS } from "../guard.js";
import { Http2Exchange } from "../http2.js";
import { type Answer, COMPRESS_MIN_BYTES, nodeHeaders, type PlainFormat } from "./format.js";

const PREFIX_BYTES = 5;
const COMPRESSED = 1;
const HEADER = { "content-type": "application/grpc+proto" };
const GZIP_HEADER = { ...HEADER, "grpc-encoding": "gzip" };
const TRAILER = { "grpc-status": "0" };
const NO_MESSAGE = new Uint8Array();
const NO_PREFIX = Buffer.alloc(PREFIX_BYTES);

export const grpc: PlainFormat = {
  protocolName: "grpc",
  binary: true,
  timeoutHeader: "grpc-timeout",
  timeoutMs: (value) => {
    const { timeoutMs, error } = parseTimeout(value, MAX_TIMEOUT_MS);
    return error ? undefined : timeoutMs;
  },
  encodingHeader: "grpc-encoding",
  acceptEncodingHeader: "grpc-accept-encoding",
  header: (gzip) => (gzip ? GZIP_HEADER : HEADER),
  trailer: TRAILER,

  payloadOf(body) {
    if (body.byteLength < PREFIX_BYTES || body[0] !== 0) return undefined;
    const length = Buffer.from(body.buffer, body.byteOffset, PREFIX_BYTES).readUInt32BE(1);
    return length === body.byteLength - PREFIX_BYTES ? body.subarray(PREFIX_BYTES) : undefined;
  },

  encode: (desc, init) => prefix(encodeBinary(desc, init, PREFIX_BYTES), 0),

  succeed(answer, given) {
    const body = bytesOf(given);
    const compressed = answer.gzip && body.byteLength >= PREFIX_BYTES + COMPRESS_MIN_BYTES;
    return compressed ? sendCompressed(answer, body) : send(answer, body);
  },

  fail(answer, error) {
    setTrailerStatus(answer.context.responseTrailer, error);
    send(answer, NO_MESSAGE);
  },
};

/** Fills in the prefix of a message that has room for it. */
function prefix(message: Buffer, flags: number): Buffer {
  message[0] = flags;
  message.writeUInt32BE(message.byteLength - PREFIX_BYTES, 1);
  return message;
}

async function sendCompressed(answer: Answer, body: Uint8Array): Promise<void> {
  // Its type wants memory that is not shared, which a copy is.
  const compressed = await compressionGzip.compress(new Uint8Array(body.subarray(PREFIX_BYTES)));
  send(answer, prefix(Buffer.concat([NO_PREFIX, compressed]), COMPRESSED));
}

function send({ exchange, context, gzip }: Answer, body: Uint8Array): void {
  if (!(exchange instanceof Http2Exchange)) throw new Error("gRPC needs HTTP/2");
  const { header, trailer } = context.changed;
  exchange.sendWithTrailers(header ? nodeHeaders(header) : grpc.header(gzip), body, trailer ? nodeHeaders(trailer) : TRAILER);
}
