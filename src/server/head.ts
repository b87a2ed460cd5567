/** What a request's head says, in one form for HTTP/1.1 and HTTP/2. */

import { Code, ConnectError } from "@connectrpc/connect";
import { hostOf, isFormContentType } from "./guard.js";
import type { NodeRequest } from "./listener.js";

export interface Head {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  /** The Host header or `:authority`, or the host of an absolute target. */
  readonly authority: string;
  /** Its name without the port, in lower case. */
  readonly host: string;
}

/** Undefined where the target or the authority is malformed: every URL of the request is built of them. */
export function readHead(request: NodeRequest): Head | undefined {
  const target = request.url ?? "";
  try {
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers)) {
      if (value === undefined || name.startsWith(":")) continue;
      for (const item of Array.isArray(value) ? value : [value]) headers.append(name, item);
    }
    const pseudo = request.headers[":authority"];
    const named = (typeof pseudo === "string" ? pseudo : undefined) ?? request.headers.host;
    // A proxy's request names its host in the target, which then rules over the Host header.
    const absolute = target.startsWith("/") ? undefined : new URL(target);
    const authority = absolute?.host ?? named;
    const host = hostOf(authority);
    if (authority === undefined || host === undefined || hostOf(named) === undefined) return undefined;
    const scheme = "encrypted" in request.socket ? "https" : "http";
    const url = absolute ?? new URL(`${scheme}://${authority}${target}`);
    return { method: request.method ?? "", url, headers, authority, host };
  } catch {
    return undefined;
  }
}

/**
 * The chunks of the body. Leaving the loop early does not destroy the connection, so that an answer can still be sent.
 * Throws `canceled` where the client breaks off.
 */
export async function* bodyOf(request: NodeRequest): AsyncGenerator<Uint8Array> {
  try {
    // Without an encoding a request reads Buffers.
    yield* request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Uint8Array>;
  } catch (cause) {
    throw new ConnectError("the request was broken off", Code.Canceled, undefined, undefined, cause);
  }
}

/** Judged by the head alone. */
export function hasBody(request: NodeRequest): boolean {
  if ("stream" in request) return !request.stream.endAfterHeaders;
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  return encoding !== undefined || Number(length ?? 0) > 0;
}

/** True for JSON, and for the content types under which some surfaces read JSON. */
export function mayBeJson(contentType: string | null): boolean {
  return isFormContentType(contentType) || (contentType ?? "").toLowerCase().includes("json");
}

/** The protocol of a call to a path that the router knows. */
export function rpcProtocol(headers: Headers): "grpc" | "grpc-web" | "connect" {
  const type = headers.get("content-type") ?? "";
  if (type.startsWith("application/grpc-web")) return "grpc-web";
  return type.startsWith("application/grpc") ? "grpc" : "connect";
}
