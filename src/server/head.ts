/** What a request's head says, in one form for HTTP/1.1 and HTTP/2. */

import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Exchange } from "./exchange.js";
import { hostOf, isFormContentType } from "./guard.js";

/** Header fields by their names in lower case. */
export type HeaderFields = Pick<Headers, "get">;

export interface Head extends HeaderFields {
  readonly method: string;
  /** As sent. */
  readonly target: string;
  /** The target's path, as URLs write it. */
  readonly path: string;
  readonly url: URL;
  readonly headers: Headers;
  /** The Host header or `:authority`, or the host of an absolute target. */
  readonly authority: string;
  /** Its name without the port, in lower case. */
  readonly host: string;
}

/** Undefined where the target or the authority is malformed: every URL of the request is built of them. */
export function readHead(exchange: Exchange): Head | undefined {
  const { target, authority: named } = exchange;
  const host = knownHostOf(named);
  if (named === undefined || host === undefined) return undefined;
  if (target.startsWith("/")) return new RequestHead(exchange, named, host);
  // A proxy's request names its host in the target, which then rules over the Host header.
  const absolute = URL.canParse(target) ? new URL(target) : undefined;
  const absoluteHost = hostOf(absolute?.host);
  if (!absolute || absoluteHost === undefined) return undefined;
  return new RequestHead(exchange, absolute.host, absoluteHost, absolute);
}

/** Paths that URLs leave as they are. */
const PLAIN_PATH = /^\/[\w~-][\w.~/-]*$/;
/** Path segments that URLs resolve. */
const DOT_SEGMENT = /\/\.{1,2}(\/|$)/;

/** Most requests are decided and answered without a URL or a Headers object, so these are made when asked for. */
class RequestHead implements Head {
  private ownUrl: URL | undefined;
  private ownHeaders: Headers | undefined;

  constructor(
    private readonly exchange: Exchange,
    readonly authority: string,
    readonly host: string,
    absolute?: URL,
  ) {
    this.ownUrl = absolute;
  }

  get method(): string {
    return this.exchange.method;
  }

  get target(): string {
    return this.exchange.target;
  }

  get path(): string {
    const { target } = this;
    return PLAIN_PATH.test(target) && !DOT_SEGMENT.test(target) ? target : this.url.pathname;
  }

  get url(): URL {
    const { encrypted, target } = this.exchange;
    this.ownUrl ??= new URL(`${encrypted ? "https" : "http"}://${this.authority}${target}`);
    return this.ownUrl;
  }

  get headers(): Headers {
    this.ownHeaders ??= headersOf(this.exchange.headers);
    return this.ownHeaders;
  }

  get(name: string): string | null {
    const value = this.exchange.headers[name];
    return Array.isArray(value) ? value.join(", ") : (value ?? null);
  }
}

function headersOf(fields: IncomingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const item of Array.isArray(value) ? value : [value]) headers.append(name, item);
  }
  return headers;
}

/** Clients name one server by few names; a flood of made-up ones starts the memory anew. */
const hosts = new Map<string, string | undefined>();
const MAX_KNOWN_HOSTS = 100;

function knownHostOf(authority: string | undefined): string | undefined {
  if (authority === undefined) return undefined;
  if (hosts.has(authority)) return hosts.get(authority);
  if (hosts.size >= MAX_KNOWN_HOSTS) hosts.clear();
  const host = hostOf(authority);
  hosts.set(authority, host);
  return host;
}

/**
 * The chunks of the body. Leaving the loop early does not destroy the connection, so that an answer can still be sent.
 * Throws `canceled` where the client breaks off.
 */
export async function* bodyOf(body: Readable): AsyncGenerator<Uint8Array> {
  try {
    // Without an encoding a request reads Buffers.
    yield* body.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Uint8Array>;
  } catch (cause) {
    throw new ConnectError("the request was broken off", Code.Canceled, undefined, undefined, cause);
  }
}

/** True for JSON, and for the content types under which some surfaces read JSON. */
export function mayBeJson(contentType: string | null): boolean {
  return isFormContentType(contentType) || (contentType ?? "").toLowerCase().includes("json");
}

/** The protocol of a call to a path that the router knows. */
export function rpcProtocol(headers: HeaderFields): "grpc" | "grpc-web" | "connect" {
  const type = headers.get("content-type") ?? "";
  if (type.startsWith("application/grpc-web")) return "grpc-web";
  return type.startsWith("application/grpc") ? "grpc" : "connect";
}
