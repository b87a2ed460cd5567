/** Plain HTTP routes: finding the route of a path, reading a bounded body, writing an answer or a stream of chunks. */

import type { Writable } from "node:stream";
import type { RestResponse, RestRoute, Surface } from "../surface.js";
import type { NodeResponse } from "./listener.js";

export interface RestMatch {
  readonly surface: Surface;
  readonly route: RestRoute;
  readonly parameters: Readonly<Record<string, string>>;
}

export interface RestTable {
  /** Undefined where no surface claims the path with this method. */
  find(method: string, pathname: string): RestMatch | undefined;
}

interface Pattern {
  readonly surface: Surface;
  readonly route: RestRoute;
  readonly segments: readonly string[];
}

/** Fixed paths win over paths with parameters; two routes for one method and path are a fault of ours. */
export function createRestTable(surfaces: readonly Surface[]): RestTable {
  const fixed = new Map<string, RestMatch>();
  const patterns: Pattern[] = [];
  for (const surface of surfaces) {
    for (const route of surface.routes) {
      const key = `${route.method} ${route.path}`;
      if (fixed.has(key) || patterns.some((other) => `${other.route.method} ${other.route.path}` === key)) {
        throw new Error(`two surfaces claim ${key}`);
      }
      if (route.path.includes("{")) patterns.push({ surface, route, segments: route.path.split("/") });
      else fixed.set(key, { surface, route, parameters: {} });
    }
  }
  return {
    find(method, pathname) {
      const match = fixed.get(`${method} ${pathname}`);
      if (match) return match;
      const segments = pathname.split("/");
      for (const { surface, route, segments: pattern } of patterns) {
        const parameters = route.method === method ? matchSegments(pattern, segments) : undefined;
        if (parameters) return { surface, route, parameters };
      }
      return undefined;
    },
  };
}

function matchSegments(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? "";
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    if (name === undefined) {
      if (part !== segment) return undefined;
    } else {
      const value = decodeSegment(segment);
      if (!value) return undefined;
      parameters[name] = value;
    }
  }
  return parameters;
}

/** Undefined where the percent-encoding is broken: such a path names nothing. */
function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** The whole body, or undefined where it is longer than `limit`; what is over the limit is not kept. */
export async function readBody(
  chunks: AsyncIterable<Uint8Array>,
  contentLength: string | null,
  limit: number,
): Promise<Uint8Array | undefined> {
  if (contentLength !== null && Number(contentLength) > limit) return undefined;
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.byteLength;
    if (size > limit) return undefined;
    parts.push(chunk);
  }
  return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
}

/** Writes the answer. A stream is ended as soon as the signal aborts, even where its next chunk never comes. */
export async function sendRest(answer: RestResponse, response: NodeResponse, signal: AbortSignal): Promise<void> {
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
  if (typeof answer.body === "string" || answer.body instanceof Uint8Array) {
    const bytes = typeof answer.body === "string" ? Buffer.from(answer.body) : answer.body;
    response.setHeader("content-length", bytes.byteLength);
    (response as Writable).end(bytes);
    return;
  }
  if ("stream" in response) response.writeHead(answer.status);
  else response.flushHeaders();
  const chunks = answer.body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const chunk = await untilAborted(chunks.next(), signal);
      if (chunk === undefined || chunk.done) break;
      if (!(response as Writable).write(chunk.value)) await drained(response, signal);
    }
  } finally {
    // Not awaited: a generator that waits for something else than the signal must not hold the response open.
    chunks.return?.().catch(() => undefined);
  }
  response.end();
}

/** The promise's value, or undefined as soon as the signal aborts. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function drained(response: NodeResponse, signal: AbortSignal): Promise<unknown> {
  return untilAborted(new Promise((resolve) => response.once("drain", resolve)), signal);
}
