/**
 * The Connect router: gRPC, gRPC-Web and Connect on the same paths. The router defines every call; this file holds what
 * is true for all of them: formats, limits, who may call, and what becomes of an error. Plain unary calls are answered
 * by the same implementations on a shorter way, see plain/.
 */

import {
  Code,
  ConnectError,
  type ContextValues,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { compressionGzip, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Logger } from "pino";
import type { Admission } from "../access.js";
import { actorKey, type Surface } from "../surface.js";
import { type Collected, replay } from "./body.js";
import { boundMessages } from "./bound-messages.js";
import { type ErrorContext, toConnectError } from "./boundary.js";
import type { Exchange } from "./exchange.js";
import { clampDeadline, MAX_OPEN_BODY_BYTES, MAX_TIMEOUT_MS } from "./guard.js";
import { type BodyRoom, within } from "./body-room.js";
import { bodyOf, type Head } from "./head.js";
import { jsonOptions } from "./json.js";
import { Lifetime } from "./lifetime.js";
import { RecordingRouter } from "./recording-router.js";
import type { Standing } from "./standing.js";
import { grpc } from "./plain/grpc.js";
import { planCall } from "./plain/plan.js";
import { SharedCall } from "./plain/shared.js";
import { UnaryCall } from "./plain/unary.js";
import { asClientFault, blameClient, isUndecodable } from "./undecodable.js";

export interface RpcOptions {
  readonly surfaces: readonly Surface[];
  readonly maxBodyBytes: number;
  readonly bodyRoom: BodyRoom;
  /** Aborted with a ConnectError when the server stops. */
  readonly shutdownSignal: AbortSignal;
  readonly standing: Standing;
  /** False: the router answers all calls. */
  readonly fastPaths: boolean;
  readonly log: Logger;
}

/** One call of the router. */
export interface Rpc {
  readonly path: string;
  /** True for calls that need no credential. */
  readonly open: boolean;
  /**
   * Serves one call. Who is not admitted is refused in the call's own protocol, without reading the body. Calls that need
   * no credential come without an admission.
   */
  serve(admission: Admission | undefined, exchange: Exchange, head: Head): Promise<void>;
}

export interface RpcTable {
  find(path: string): Rpc | undefined;
}

export function createRpcTable(options: RpcOptions): RpcTable {
  const { shutdownSignal, log } = options;
  const sharedStreams = options.surfaces.flatMap((surface) => surface.sharedStreams ?? []);
  const openServices = new Set(options.surfaces.flatMap((surface) => surface.openServices ?? []));
  /** The bound of a body is a router's, and some credentials have one of their own. */
  const routerFor = (readMaxBytes: number): RecordingRouter => {
    const router = new RecordingRouter(
      createConnectRouter({
        // Brotli at its default quality needs 30 times as long as gzip for the same answer.
        acceptCompression: [compressionGzip],
        readMaxBytes,
        maxTimeoutMs: MAX_TIMEOUT_MS,
        shutdownSignal,
        jsonOptions,
        interceptors: [boundary(openServices, log)],
      }),
      log,
    );
    for (const surface of options.surfaces) surface.register?.(router);
    return router;
  };
  const router = routerFor(options.maxBodyBytes);
  /** By the bound; made when a credential with it is first seen. */
  const narrower = new Map<number, ReadonlyMap<string, UniversalHandler>>();
  const bounded = (handler: UniversalHandler, limit: number): UniversalHandler => {
    if (limit === options.maxBodyBytes) return handler;
    let own = narrower.get(limit);
    if (!own) narrower.set(limit, (own = new Map(routerFor(limit).handlers.map((each) => [each.requestPath, each]))));
    return own.get(handler.requestPath) ?? handler;
  };

  const rpcs = new Map<string, Rpc>();
  for (const handler of router.handlers) {
    // Its message would be in the URL, past the bounds of bodies.
    if (handler.allowedMethods.includes("GET")) throw new Error(`${handler.requestPath} may be called by GET`);
    const open = openServices.has(handler.service.typeName);
    const unary = router.unary.get(handler.requestPath);
    const shared = sharedStreams.find(({ method }) => method === handler.method);
    const unaryCall = unary && new UnaryCall(unary.method, unary.implementation, { shutdownSignal, log });
    const sharedCall = shared && new SharedCall(shared, { shutdownSignal, standing: options.standing, log });
    rpcs.set(handler.requestPath, {
      path: handler.requestPath,
      open,
      serve(admission, exchange, head) {
        const admitted = admission?.kind === "Admitted" ? admission : undefined;
        const actor = admitted?.actor;
        if (actor === undefined && !open) return refuse(handler, admission, exchange, head);
        const own = open ? MAX_OPEN_BODY_BYTES : admitted?.maxBodyBytes;
        const limit = Math.min(options.maxBodyBytes, own ?? options.maxBodyBytes);
        const fallBack = (given: AsyncIterable<Uint8Array>): Promise<void> => {
          const body = boundMessages(given, { desc: handler.method.input, head, maxBytes: limit });
          const contextValues = createContextValues().set(actorKey, actor);
          return route(bounded(handler, limit), { admission, exchange, head, body, contextValues });
        };
        const share = options.bodyRoom.shareOf(exchange);
        const routeRead = (read: Collected): Promise<void> => fallBack(replay(read, exchange.body, share));
        const plan = options.fastPaths ? planCall(exchange, head, limit) : undefined;
        if (plan && unaryCall) return unaryCall.serve(plan, { exchange, head, actor, share }, routeRead);
        if (plan?.format === grpc && sharedCall) return sharedCall.serve(plan, { exchange, head, actor, share }, admission, routeRead);
        return fallBack(within(share, bodyOf(exchange.body)));
      },
    });
  }
  return { find: (path) => rpcs.get(path) };

  interface Call {
    readonly admission: Admission | undefined;
    readonly exchange: Exchange;
    readonly head: Head;
    readonly body: AsyncIterable<Uint8Array>;
    readonly contextValues: ContextValues;
  }

  async function route(handler: UniversalHandler, { admission, exchange, head, body, contextValues }: Call): Promise<void> {
    clampDeadline(head.headers);
    const unary = handler.method.methodKind === "unary";
    // A single answer is over before its credential is.
    const standing = unary ? undefined : { keeper: options.standing, admission };
    const { signal } = new Lifetime({ exchange, shutdownSignal, standing });
    const answer = await handler({
      httpVersion: exchange.httpVersion === 1 ? "1.1" : "2.0",
      method: head.method,
      url: head.url.toString(),
      header: head.headers,
      body,
      signal,
      contextValues,
    });
    await universalResponseToNodeResponse(unary ? await blameClient(answer) : answer, exchange.toNodeResponse());
  }

  function refuse(handler: UniversalHandler, admission: Admission | undefined, exchange: Exchange, head: Head): Promise<void> {
    const refusal = admission?.kind === "TooMany" ? tooMany : unauthenticated;
    const contextValues = createContextValues().set(refusalKey, refusal);
    head.headers.delete("content-length");
    return route(handler, { admission, exchange, head, body: failingBody(refusal), contextValues });
  }
}

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
    const { signal } = request;
    const context: ErrorContext = {
      call: `${request.service.typeName}/${request.method.name}`,
      isReason: (error) => signal.aborted && error === signal.reason,
      log,
    };
    try {
      const response = await next(request);
      if (!response.stream) return response;
      return { ...response, message: translateErrors(response.message, context) };
    } catch (error) {
      throw translate(error, context);
    }
  };
}

async function* translateErrors<T>(messages: AsyncIterable<T>, context: ErrorContext): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw translate(error, context);
  }
}

/** The message of a stream's request is decoded inside; that of a unary call is not, see `blameClient`. */
function translate(error: unknown, context: ErrorContext): ConnectError {
  return isUndecodable(error) ? asClientFault(error) : toConnectError(error, context);
}
