/**
 * The Connect router: gRPC, gRPC-Web and Connect on the same paths. The router defines every call; this file holds what
 * is true for all of them: formats, limits, who may call, and what becomes of an error.
 */

import type { JsonReadOptions, JsonWriteOptions } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "pino";
import { type ErrorReason, JobError } from "../core/error.js";
import type { Admission } from "../access.js";
import { actorKey, type Surface } from "../surface.js";
import { clampDeadline, isTooDeep, MAX_JSON_DEPTH, MAX_TIMEOUT_MS } from "./guard.js";
import type { NodeRequest, NodeResponse } from "./listener.js";
import type { Standing } from "./standing.js";

/** How a transport error of the engine reads to gRPC and Connect clients. */
export const CONNECT_CODES = {
  InvalidArgument: Code.InvalidArgument,
  AlreadyExists: Code.AlreadyExists,
  NotFound: Code.NotFound,
  Forbidden: Code.PermissionDenied,
  IllegalMove: Code.FailedPrecondition,
  ResourceExhausted: Code.ResourceExhausted,
  Unavailable: Code.Unavailable,
  Internal: Code.Internal,
} as const satisfies Record<ErrorReason, Code>;

export interface RpcOptions {
  readonly surfaces: readonly Surface[];
  readonly maxBodyBytes: number;
  /** Aborted with a ConnectError when the server stops. */
  readonly shutdownSignal: AbortSignal;
  readonly standing: Standing;
  readonly log: Logger;
}

export interface RpcTable {
  find(path: string): UniversalHandler | undefined;
  /** True for calls that need no credential. */
  isOpen(handler: UniversalHandler): boolean;
  /**
   * Serves one call. Who is not admitted is refused in the call's own protocol, without reading the body. Calls that need
   * no credential come without an admission.
   */
  serve(handler: UniversalHandler, admission: Admission | undefined, exchange: Exchange): Promise<void>;
}

export interface Exchange {
  readonly request: NodeRequest;
  readonly response: NodeResponse;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array>;
}

export function createRpcTable(options: RpcOptions): RpcTable {
  const openServices = new Set(options.surfaces.flatMap((surface) => surface.openServices ?? []));
  /** The bound of a body is a router's, and some credentials have one of their own. */
  const handlersFor = (readMaxBytes: number): ReadonlyMap<string, UniversalHandler> => {
    const router = createConnectRouter({
      // Brotli at its default quality needs 30 times as long as gzip for the same answer.
      acceptCompression: [compressionGzip],
      readMaxBytes,
      maxTimeoutMs: MAX_TIMEOUT_MS,
      shutdownSignal: options.shutdownSignal,
      jsonOptions,
      interceptors: [boundary(openServices, options.log)],
    });
    for (const surface of options.surfaces) surface.register?.(router);
    return new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  };
  const handlers = handlersFor(options.maxBodyBytes);
  /** By the bound; made when a credential with it is first seen. */
  const narrower = new Map<number, ReadonlyMap<string, UniversalHandler>>();
  const bounded = (handler: UniversalHandler, limit: number | undefined): UniversalHandler => {
    if (limit === undefined || limit >= options.maxBodyBytes) return handler;
    let own = narrower.get(limit);
    if (!own) narrower.set(limit, (own = handlersFor(limit)));
    return own.get(handler.requestPath) ?? handler;
  };
  const isOpen = (handler: UniversalHandler): boolean => openServices.has(handler.service.typeName);

  return {
    find: (path) => handlers.get(path),
    isOpen,
    async serve(handler, admission, { request, response, headers, body }) {
      const actor = admission?.kind === "Admitted" ? admission.actor : undefined;
      const refusal = admission?.kind === "TooMany" ? tooMany : unauthenticated;
      const contextValues = createContextValues().set(actorKey, actor).set(refusalKey, refusal);
      clampDeadline(headers);
      const refused = actor === undefined && !isOpen(handler);
      if (refused) headers.delete("content-length");
      const universal = universalRequestFromNodeRequest(request, response, undefined, contextValues);
      // A single answer is over before its credential is.
      const long = handler.method.methodKind !== "unary";
      const signal = long ? AbortSignal.any([universal.signal, options.standing.signalOf(admission, response)]) : universal.signal;
      const serving = bounded(handler, admission?.kind === "Admitted" ? admission.maxBodyBytes : undefined);
      const answer = await serving({ ...universal, signal, header: headers, body: refused ? failingBody(refusal) : body });
      await universalResponseToNodeResponse(answer, response);
    },
  };
}

interface JsonOptions extends Partial<JsonReadOptions>, Partial<JsonWriteOptions> {
  /** Connect decodes bodies with it; what it throws becomes `invalid_argument`. */
  readonly textDecoder: { decode(input?: Uint8Array): string };
}

/** snake_case names with defaults, as on REST. Unknown fields are dropped, as Kuscia does. */
const jsonOptions: JsonOptions = {
  useProtoFieldName: true,
  alwaysEmitImplicit: true,
  ignoreUnknownFields: true,
  textDecoder: {
    decode(input = new Uint8Array()) {
      if (isTooDeep(input)) throw new Error(`JSON is nested deeper than ${MAX_JSON_DEPTH} levels`);
      return utf8.decode(input);
    },
  },
};
const utf8 = new TextDecoder("utf-8", { fatal: true });

export const NO_CREDENTIAL = "a valid credential is needed";
export const TOO_MANY = "too many requests with this credential; try again later";

const unauthenticated = (): ConnectError => new ConnectError(NO_CREDENTIAL, Code.Unauthenticated);
const tooMany = (): ConnectError => new ConnectError(TOO_MANY, Code.ResourceExhausted);

/** What a call without a caller is told. Streams get it from the interceptor, which runs before their body is read. */
const refusalKey = createContextKey<() => ConnectError>(unauthenticated, { description: "why there is no caller" });

/** Fails on the first read, so that each protocol writes the refusal its own way before anything is parsed. */
function failingBody(reason: () => ConnectError): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(reason()) }) };
}

/** The outermost interceptor: denies by default, and lets no error out that a client should not see. */
function boundary(openServices: ReadonlySet<string>, log: Logger): Interceptor {
  return (next) => async (request) => {
    const open = openServices.has(request.service.typeName);
    if (!open && request.contextValues.get(actorKey) === undefined) throw request.contextValues.get(refusalKey)();
    const call = `${request.service.typeName}/${request.method.name}`;
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: translateErrors(response.message, call, request.signal, log) };
    } catch (error) {
      throw toConnectError(error, call, request.signal, log);
    }
  };
}

async function* translateErrors<T>(
  messages: AsyncIterable<T>,
  call: string,
  signal: AbortSignal,
  log: Logger,
): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error, call, signal, log);
  }
}

function toConnectError(error: unknown, call: string, signal: AbortSignal, log: Logger): ConnectError {
  if (error instanceof ConnectError) return error;
  // The client has gone or the deadline has passed: the reason is already a ConnectError or an AbortError.
  if (signal.aborted && error === signal.reason) return ConnectError.from(error, Code.Canceled);
  if (hasLeft(error)) return new ConnectError("the client has left", Code.Canceled);
  if (error instanceof JobError && error.reason !== "Internal") {
    return new ConnectError(error.message, CONNECT_CODES[error.reason]);
  }
  log.error({ err: error, call }, "a call failed");
  return new ConnectError("internal error", Code.Internal);
}

/** What reading a stream throws whose client went away in the middle. */
function hasLeft(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ERR_STREAM_PREMATURE_CLOSE" || code === "ECONNRESET" || code === "ABORT_ERR";
}
