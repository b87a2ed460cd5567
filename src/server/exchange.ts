/** One request and its answer, over either version of HTTP. Nothing is made before somebody asks for it. */

import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import type { Readable, Writable } from "node:stream";
import type { ClientCertificate } from "../core/access.js";
import type { Body } from "../encoding/ascii.js";

export interface Exchange {
  readonly httpVersion: 1 | 2;
  readonly method: string;
  /** Path and query as sent; a whole URL where a proxy sent one. */
  readonly target: string;
  /** `:authority`, else the Host header. */
  readonly authority: string | undefined;
  /** As sent; names in lower case. Over HTTP/2 the pseudo-headers are among them. */
  readonly headers: IncomingHttpHeaders;
  readonly encrypted: boolean;
  /** Verified already; null in cleartext, and where none was demanded. */
  readonly certificate: ClientCertificate | null;
  /** Judged by the head alone. */
  readonly hasBody: boolean;
  /** The bytes of the request's body. */
  readonly body: Readable;
  /** The status that was sent. */
  readonly status: number;
  /** True once nothing can be sent any more. */
  readonly isGone: boolean;
  /** Why the client broke off, where it said so. */
  readonly fault: unknown;

  /** Adds a header to whatever is answered. */
  addHeader(name: string, value: string): void;
  /** The whole answer at once. A client that has gone gets nothing. */
  send(status: number, headers: OutgoingHttpHeaders, body: Body): void;
  /** Sends the head and gives what the body is to be written to. */
  open(status: number, headers: OutgoingHttpHeaders): Writable;
  /** Breaks off, so that the client sees that the answer is not complete; says so in a plain text where none has begun. */
  fail(): void;
  /** Called once, when the answer is complete or the client has gone. */
  onClose(listener: () => void): void;
  /** Node's own object to answer with, for those who need it. */
  toNodeResponse(): ServerResponse | Http2ServerResponse;
}

export const TEXT: OutgoingHttpHeaders = { "content-type": "text/plain; charset=utf-8" };
export const INTERNAL_ERROR = Buffer.from("internal error");

/** For errors that come with a close, which tells those who have to know. */
export function ignore(): void {}
