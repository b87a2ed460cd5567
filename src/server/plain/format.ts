/** What a protocol has to tell, so that its plain unary calls can be answered without the Connect router. */

import type { OutgoingHttpHeaders } from "node:http";
import type { DescMessage } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { Body } from "../../encoding/ascii.js";
import type { MessageInit } from "../../encoding/compile.js";
import type { Exchange } from "../exchange.js";

export type HeaderInit = Readonly<Record<string, string>>;

export interface PlainFormat {
  readonly protocolName: "grpc" | "connect";
  /** Protobuf's binary format; else its JSON. */
  readonly binary: boolean;
  /** The body of an answer. Throws where the message cannot be written. */
  encode(desc: DescMessage, init: MessageInit): Body;
  readonly timeoutHeader: string;
  /** Undefined where the value breaks the protocol's rules. */
  timeoutMs(value: string): number | undefined;
  readonly encodingHeader: string;
  readonly acceptEncodingHeader: string;
  /** What the answer's header and trailer are before the handler adds to them. */
  header(gzip: boolean): HeaderInit;
  readonly trailer: HeaderInit;
  /** The message's bytes; undefined where the body is not one plain message. */
  payloadOf(body: Uint8Array): Uint8Array | undefined;
  succeed(answer: Answer, body: Body): void | Promise<void>;
  fail(answer: Answer, error: ConnectError): void | Promise<void>;
}

/** The answer's header and trailer, for the handler to change. */
export interface AnswerHeaders {
  readonly responseHeader: Headers;
  readonly responseTrailer: Headers;
  /** Those that the handler has looked at, and so may have changed. */
  readonly changed: { readonly header: Headers | undefined; readonly trailer: Headers | undefined };
}

export interface Answer {
  readonly exchange: Exchange;
  readonly context: AnswerHeaders;
  /** Whether the client takes gzip. */
  readonly gzip: boolean;
}

/** Answers shorter than this are not worth compressing (the router's own bound). */
export const COMPRESS_MIN_BYTES = 1024;

/** Header fields as Node takes them. */
export function nodeHeaders(headers: Headers): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = {};
  for (const [name, value] of headers) {
    const before = fields[name];
    // Only Set-Cookie comes more than once.
    fields[name] = before === undefined ? value : [...[before].flat().map(String), value];
  }
  return fields;
}
