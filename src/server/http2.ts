/** An exchange over HTTP/2, on Node's streams themselves: its request and response objects cost as much as all the rest. */

import type { OutgoingHttpHeaders } from "node:http";
import {
  constants,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { Readable, Writable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ClientCertificate } from "../core/access.js";
import { type Body, sizeOf } from "../encoding/ascii.js";
import { type Exchange, ignore, INTERNAL_ERROR, TEXT } from "./exchange.js";
import { certificateOf } from "./tls.js";

export class Http2Exchange implements Exchange {
  readonly httpVersion = 2;
  private sent = 200;
  private readonly closeListeners: (() => void)[] = [];
  private added: OutgoingHttpHeaders | undefined;
  private nodeResponse: Http2ServerResponse | undefined;

  constructor(
    readonly stream: ServerHttp2Stream,
    readonly headers: IncomingHttpHeaders,
  ) {
    // A client that goes away makes it fail at any time.
    stream.on("error", ignore);
    stream.once("close", () => {
      for (const listener of this.closeListeners.splice(0)) listener();
    });
  }

  get method(): string {
    return this.headers[":method"] ?? "";
  }

  get target(): string {
    return this.headers[":path"] ?? "";
  }

  get authority(): string | undefined {
    return this.headers[":authority"] ?? this.headers.host;
  }

  get encrypted(): boolean {
    return this.stream.session?.encrypted === true;
  }

  get certificate(): ClientCertificate | null {
    const { session } = this.stream;
    return session === undefined ? null : certificateOf(session, session.socket);
  }

  get hasBody(): boolean {
    return !this.stream.endAfterHeaders;
  }

  get body(): Readable {
    return this.stream;
  }

  get status(): number {
    return this.nodeResponse?.statusCode ?? this.sent;
  }

  get isGone(): boolean {
    return this.stream.destroyed || this.stream.closed;
  }

  get fault(): unknown {
    const { rstCode } = this.stream;
    if (rstCode === constants.NGHTTP2_NO_ERROR) return undefined;
    return new ConnectError(`the stream was reset with code ${rstCode}`, Code.Canceled);
  }

  addHeader(name: string, value: string): void {
    this.added = { ...this.added, [name]: value };
  }

  send(status: number, headers: OutgoingHttpHeaders, body: Body): void {
    if (this.isGone) return;
    this.respond(status, headers, sizeOf(body) === 0 ? { endStream: true } : undefined);
    // Answers to HEAD, and those without a body by their status, have ended with their head.
    if (!this.stream.writableEnded) this.stream.end(body, "latin1");
  }

  /** The whole answer at once, followed by trailers. */
  sendWithTrailers(headers: OutgoingHttpHeaders, body: Uint8Array, trailers: OutgoingHttpHeaders): void {
    if (this.isGone) return;
    this.openWithTrailers(headers, () => trailers);
    if (body.byteLength === 0) this.stream.end();
    else this.stream.end(body);
  }

  /** Sends the head of an answer; when its body has ended, `trailers` is asked. */
  openWithTrailers(headers: OutgoingHttpHeaders, trailers: () => OutgoingHttpHeaders): void {
    const { stream } = this;
    stream.once("wantTrailers", () => stream.sendTrailers(trailers()));
    this.respond(200, headers, WITH_TRAILERS);
  }

  open(status: number, headers: OutgoingHttpHeaders): Writable {
    this.respond(status, headers);
    return this.stream;
  }

  fail(): void {
    if (this.isGone) return;
    if (this.stream.headersSent) this.stream.destroy();
    else this.send(500, TEXT, INTERNAL_ERROR);
  }

  onClose(listener: () => void): void {
    this.closeListeners.push(listener);
  }

  toNodeResponse(): Http2ServerResponse {
    this.nodeResponse ??= this.makeNodeResponse();
    return this.nodeResponse;
  }

  private makeNodeResponse(): Http2ServerResponse {
    this.discardUnread();
    const response = new Http2ServerResponse(this.stream);
    response.on("error", ignore);
    for (const [name, value] of Object.entries(this.added ?? {})) response.setHeader(name, String(value));
    return response;
  }

  private respond(status: number, headers: OutgoingHttpHeaders, options?: typeof WITH_TRAILERS | { endStream: true }): void {
    this.sent = status;
    this.discardUnread();
    // Node takes 200 for granted, and copies what it is given.
    const all = status === 200 && !this.added ? headers : { ":status": status, ...headers, ...this.added };
    this.stream.respond(all, options);
  }

  /** Unread bytes of an answered request would hold back those of others. The request timeout bounds the time of that. */
  private discardUnread(): void {
    const { stream } = this;
    if (!stream.readableEnded) stream.once("finish", () => stream.readableEnded || stream.resume());
  }
}

const WITH_TRAILERS = { waitForTrailers: true } as const;
