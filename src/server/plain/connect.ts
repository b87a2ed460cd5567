/** Plain unary calls of the Connect protocol: the message is the body; an error is JSON under a status of HTTP. */

import type { ConnectError } from "@connectrpc/connect";
import {
  codeToHttpStatus,
  errorToJsonBytes,
  parseTimeout,
  trailerMux,
} from "@connectrpc/connect/protocol-connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { bytesOf, sizeOf } from "../../encoding/ascii.js";
import { encodeBinary } from "../../encoding/binary.js";
import { encodeJson } from "../../encoding/json.js";
import { MAX_TIMEOUT_MS } from "../guard.js";
import { jsonOptions } from "../json.js";
import { type Answer, COMPRESS_MIN_BYTES, nodeHeaders, type PlainFormat } from "./format.js";

const JSON_TYPE = "application/json";

export const connectJson = connect(JSON_TYPE, false);
export const connectProto = connect("application/proto", true);

function connect(contentType: string, binary: boolean): PlainFormat {
  const header = { "content-type": contentType };
  return {
    protocolName: "connect",
    binary,
    timeoutHeader: "connect-timeout-ms",
    timeoutMs: (value) => {
      const { timeoutMs, error } = parseTimeout(value, MAX_TIMEOUT_MS);
      return error ? undefined : timeoutMs;
    },
    encodingHeader: "content-encoding",
    acceptEncodingHeader: "accept-encoding",
    header: () => header,
    trailer: {},
    payloadOf: (body) => body,
    encode: binary ? encodeBinary : encodeJson,

    succeed(answer, body) {
      const { header: changed, trailer } = answer.context.changed;
      const size = sizeOf(body);
      if (changed || trailer || (answer.gzip && size >= COMPRESS_MIN_BYTES)) return send(answer, 200, bytesOf(body));
      return answer.exchange.send(200, { "content-type": contentType, "content-length": size }, body);
    },

    fail(answer, error: ConnectError) {
      const { responseHeader } = answer.context;
      responseHeader.set("content-type", JSON_TYPE);
      error.metadata.forEach((value, name) => responseHeader.set(name, value));
      return send(answer, codeToHttpStatus(error.code), errorToJsonBytes(error, jsonOptions));
    },
  };
}

async function send({ exchange, context, gzip }: Answer, status: number, payload: Uint8Array): Promise<void> {
  const header = trailerMux(context.responseHeader, context.responseTrailer);
  let body = payload;
  if (gzip && payload.byteLength >= COMPRESS_MIN_BYTES) {
    body = await compressionGzip.compress(payload);
    header.set("content-encoding", compressionGzip.name);
  }
  header.set("content-length", String(body.byteLength));
  exchange.send(status, nodeHeaders(header), body);
}
