/**
 * The surface contract. A surface is a language that clients speak: it turns a request of its wire into a verb of
 * `jobs.ts` and the answer back. The server knows nothing of what a route means; it asks each surface for its Connect
 * services and its plain HTTP routes.
 */

import type { DescMethodServerStreaming, Message } from "@bufbuild/protobuf";
import { type ConnectRouter, type ContextKey, createContextKey, type HandlerContext } from "@connectrpc/connect";
import { JobError } from "./core/error.js";
import type { Actor } from "./core/job.js";

/** A plain HTTP request, after the server's own checks (size, origin, credential). */
export interface RestRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly url: URL;
  readonly headers: Headers;
  /** Values of the route's `{name}` parts, percent-decoded. */
  readonly parameters: Readonly<Record<string, string>>;
  /** The whole body; empty where there was none. Bounded by the server's limit. */
  readonly body: Uint8Array;
  /** Aborts when the client leaves or the server stops. */
  readonly signal: AbortSignal;
  readonly actor: Actor;
}

export interface RestResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream is sent chunk by chunk, headers at once, with back-pressure; it is ended when the client leaves. */
  readonly body: string | Uint8Array | AsyncIterable<string | Uint8Array>;
}

export interface RestRoute {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** e.g. `/v1/jobs/{job_id}/logs`. */
  readonly path: string;
  /** Routes that need no credential, such as health probes. */
  readonly open?: boolean;
  handle(request: RestRequest): Promise<RestResponse>;
  /** The server's refusals on this route, where they read otherwise than on the surface's others. */
  refuse?(refusal: Refusal): RestResponse;
}

/**
 * A server-streaming call whose messages are encoded once and shared by all its streams. gRPC over HTTP/2 takes this way;
 * the other protocols, and what is unusual, go through the router.
 */
export interface SharedStream {
  readonly method: DescMethodServerStreaming;
  /**
   * Opens one stream. Throws what the Connect handler would throw. `wake` is called when there may be something to take, or
   * the stream has ended; also synchronously.
   */
  open(request: Message, context: SharedStreamContext): OpenStream;
}

export interface SharedStreamContext {
  readonly actor: Actor;
  /** Aborts when the client leaves, its deadline passes, its credential ends or the server stops. */
  readonly signal: AbortSignal;
  readonly wake: () => void;
}

export interface OpenStream {
  /** Messages ready to be sent, each with gRPC's 5-byte prefix; about `maxBytes` in all, at least one where there is one. */
  take(maxBytes: number): readonly Uint8Array[];
  /** Undefined while it goes on, else how it ended; to be asked after `take` gave nothing. */
  readonly ended: { readonly error?: unknown } | undefined;
  /** Nothing more is taken. Idempotent. */
  close(): void;
}

/** Why the server refuses a request to one of the surface's routes before its handler runs. */
export interface Refusal {
  readonly kind: "Unauthenticated" | "TooLarge" | "Unreadable" | "ContentType" | "TooMany";
  /** The HTTP status that fits where the surface's protocol has no rule of its own. */
  readonly status: number;
  readonly message: string;
}

/** What a surface may need to know of a request that it is to refuse. */
export type RefusedRequest = Pick<RestRequest, "url" | "headers">;

export interface Surface {
  readonly name: string;
  /** Registers the surface's services; absent where it has none. */
  register?(router: ConnectRouter): void;
  /** Streams among its services that are shared. */
  readonly sharedStreams?: readonly SharedStream[];
  /** Type names of services that need no credential, such as health. */
  readonly openServices?: readonly string[];
  readonly routes: readonly RestRoute[];
  /**
   * The server's refusals in the surface's own words. Where absent: plain JSON with the suggested status, without a body
   * where there is no valid credential.
   */
  refuse?(refusal: Refusal, request: RefusedRequest): RestResponse;
}

/** The caller of a Connect handler, set by the server before the handler runs. */
export const actorKey: ContextKey<Actor | undefined> = createContextKey<Actor | undefined>(undefined, {
  description: "the caller, from its credential",
});

/** Denies by default: a handler reached without a caller is a fault of ours. */
export function actorOf(context: HandlerContext): Actor {
  const actor = context.values.get(actorKey);
  if (!actor) throw new JobError("Internal", "the request carries no caller");
  return actor;
}
