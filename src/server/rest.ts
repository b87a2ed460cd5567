/** Plain HTTP routes: finding the route of a path, reading a bounded body, writing an answer or a stream of chunks. */

import type { Readable, Writable } from "node:stream";
import type { Actor } from "../core/job.js";
import { bodyOf, sizeOf } from "../encoding/ascii.js";
import type { RestRequest, RestResponse, RestRoute, Surface } from "../surface.js";
import { collect, join } from "./body.js";
import type { BodyShare } from "./body-room.js";
import type { Exchange } from "./exchange.js";
import type { Head } from "./head.js";
import type { Lifetime } from "./lifetime.js";

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

export interface BodyBounds {
  readonly contentLength: string | null;
  readonly limit: number;
  readonly share: BodyShare;
}

/** The whole body; what is over a bound is not kept. */
export async function readBody(body: Readable, bounds: BodyBounds): Promise<Uint8Array | "TooLarge" | "Crowded"> {
  const { contentLength, limit, share } = bounds;
  if (contentLength !== null && Number(contentLength) > limit) return "TooLarge";
  const { chunks, complete, crowded } = await collect(body, limit, share);
  if (crowded) return "Crowded";
  return complete ? join(chunks) : "TooLarge";
}

/** Most handlers read no more than the body, so the rest is made when it is asked for. */
export class RouteRequest implements RestRequest {
  constructor(
    private readonly head: Head,
    readonly parameters: Readonly<Record<string, string>>,
    readonly body: Uint8Array,
    private readonly lifetime: Lifetime,
    readonly actor: Actor,
  ) {}

  get method(): string {
    return this.head.method;
  }

  get url(): URL {
    return this.head.url;
  }

  get headers(): Headers {
    return this.head.headers;
  }

  get signal(): AbortSignal {
    return this.lifetime.signal;
  }
}

/** Writes the answer. A stream is ended as soon as the lifetime is over, even where its next chunk never comes. */
export async function sendRest(answer: RestResponse, exchange: Exchange, lifetime: Lifetime): Promise<void> {
  if (typeof answer.body === "string" || answer.body instanceof Uint8Array) {
    const body = typeof answer.body === "string" ? bodyOf(answer.body) : answer.body;
    return exchange.send(answer.status, { ...answer.headers, "content-length": sizeOf(body) }, body);
  }
  const { signal } = lifetime;
  const response = exchange.open(answer.status, answer.headers);
  const chunks = answer.body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const chunk = await untilAborted(chunks.next(), signal);
      if (chunk === undefined || chunk.done) break;
      if (!response.write(chunk.value)) await drained(response, signal);
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

function drained(response: Writable, signal: AbortSignal): Promise<unknown> {
  return untilAborted(new Promise((resolve) => response.once("drain", resolve)), signal);
}
