/** An exchange over HTTP/1.1. */

import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Readable, Writable } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { ClientCertificate } from "../core/access.js";
import { type Ascii, type Body, sizeOf } from "../encoding/ascii.js";
import { type Exchange, ignore, INTERNAL_ERROR, TEXT } from "./exchange.js";
import { certificateOf } from "./tls.js";

const HOST = "host";

export class Http1Exchange implements Exchange {
  readonly httpVersion = 1;

  constructor(
    private readonly request: IncomingMessage,
    private readonly response: ServerResponse,
  ) {
    // A client that goes away makes both fail at any time.
    request.on("error", ignore);
    response.on("error", ignore);
  }

  get method(): string {
    return this.request.method ?? "";
  }

  get target(): string {
    return this.request.url ?? "";
  }

  /** Undefined also where there is more than one Host, of which another server might have taken another (RFC 9112, 3.2). */
  get authority(): string | undefined {
    const { rawHeaders, headers } = this.request;
    let hosts = 0;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] ?? "";
      if (name.length === HOST.length && name.toLowerCase() === HOST) hosts += 1;
    }
    return hosts > 1 ? undefined : headers.host;
  }

  get headers(): IncomingHttpHeaders {
    return this.request.headers;
  }

  get encrypted(): boolean {
    return (this.request.socket as Partial<TLSSocket>).encrypted === true;
  }

  get certificate(): ClientCertificate | null {
    return certificateOf(this.request.socket, this.request.socket);
  }

  get hasBody(): boolean {
    const { "content-length": length, "transfer-encoding": encoding } = this.request.headers;
    return encoding !== undefined || Number(length ?? 0) > 0;
  }

  get body(): Readable {
    return this.request;
  }

  get status(): number {
    return this.response.statusCode;
  }

  get isGone(): boolean {
    return this.response.destroyed;
  }

  get fault(): unknown {
    return this.request.errored ?? undefined;
  }

  addHeader(name: string, value: string): void {
    this.response.setHeader(name, value);
  }

  send(status: number, headers: OutgoingHttpHeaders, body: Body): void {
    if (this.isGone) return;
    this.discardUnread();
    this.response.writeHead(status, { ...headers, "content-length": sizeOf(body) });
    if (typeof body === "string") this.endWith(body);
    else this.response.end(body);
  }

  /**
   * Head and text in one write of one string. Node's `end` with a body makes a list of writes, which costs more than all
   * the encoding. Over TLS a further write would be a further record, and behind another answer there is no socket yet.
   */
  private endWith(text: Ascii): void {
    const { response } = this;
    const { socket } = response;
    if (!socket || this.encrypted) return void response.end(text, "latin1");
    socket.cork();
    response.write(text, "latin1");
    socket.uncork();
    response.end();
  }

  open(status: number, headers: OutgoingHttpHeaders): Writable {
    this.discardUnread();
    this.response.writeHead(status, headers);
    this.response.flushHeaders();
    return this.response;
  }

  fail(): void {
    if (this.isGone) return;
    if (this.response.headersSent) this.response.destroy();
    else this.send(500, TEXT, INTERNAL_ERROR);
  }

  onClose(listener: () => void): void {
    this.response.on("close", listener);
  }

  toNodeResponse(): ServerResponse {
    this.discardUnread();
    return this.response;
  }

  /** Unread bytes of an answered request would block its connection. The request timeout bounds the time of that. */
  private discardUnread(): void {
    const { request } = this;
    if (!request.readableEnded) this.response.once("finish", () => request.readableEnded || request.resume());
  }
}
