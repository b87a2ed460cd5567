/**
 * The front door: one port for gRPC, gRPC-Web, Connect and plain HTTP routes, over HTTP/1.1 and HTTP/2.
 *
 * The server knows no protocol's meaning. It decides about a request's head (where it comes from, who sends it), finds
 * the surface that claims its path, bounds its body, and sees to it that no request can end the process. What it
 * refuses by itself:
 *
 *   400  a Host that is none, a target that is no URL      403  a foreign web page, or a foreign name on loopback
 *   401  no valid credential (empty body on plain routes)  404  a path and method that no surface claims
 *   413  a body over the limit, 415  a content type that any web page could send (both in the surface's words)
 *
 * gRPC and Connect calls get 401 and 413 as errors of their own protocol: `unauthenticated`, `resource_exhausted`.
 */

import { setMaxListeners } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { Actor } from "./core/job.js";
import { foreignPage, isFormContentType, isLoopback, isTooDeep, MAX_JSON_DEPTH } from "./server/guard.js";
import { bodyOf, hasBody, type Head, mayBeJson, readHead, rpcProtocol } from "./server/head.js";
import { createListener, type ListenerTimeouts, type NodeRequest, type NodeResponse } from "./server/listener.js";
import { createRestTable, readBody, type RestMatch, sendRest } from "./server/rest.js";
import { createRpcTable } from "./server/rpc.js";
import type { Refusal, RestResponse, Surface } from "./surface.js";

/** One answered request, for metrics. */
export interface RequestRecord {
  /** The call's path or the route's pattern; `unmatched` where there is none. Never what a client made up. */
  readonly route: string;
  readonly protocol: "grpc" | "grpc-web" | "connect" | "rest";
  /** The HTTP status; gRPC and streams report errors after it. */
  readonly status: number;
  readonly seconds: number;
}

export interface ServerOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly surfaces: readonly Surface[];
  /** The caller of a request, undefined where its credential is missing or wrong. */
  authenticate(headers: Headers): Actor | undefined;
  /** True where `authenticate` demands a credential. Else bodies need a content type that no web page can send. */
  readonly credentialed: boolean;
  readonly maxBodyBytes: number;
  readonly log: Logger;
  readonly timeouts?: Partial<ServerTimeouts>;
  onRequest?(record: RequestRecord): void;
}

export interface ServerTimeouts extends ListenerTimeouts {
  /** How long `stop` waits for open requests, in milliseconds. */
  readonly drain: number;
}

export interface Server {
  /** Resolves with the address in use. Repeating it gives the same answer. */
  start(): Promise<{ readonly host: string; readonly port: number }>;
  /** Ends streams with `unavailable`, lets other requests finish within the drain time. May be repeated. */
  stop(): Promise<void>;
}

const DEFAULT_TIMEOUTS: ServerTimeouts = {
  peek: 10_000,
  headers: 20_000,
  request: 300_000,
  idle: 300_000,
  drain: 10_000,
};

export function createServer(options: ServerOptions): Server {
  const { surfaces, log, maxBodyBytes } = options;
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const shutdown = new AbortController();
  // Every open call listens to it; their number is bounded by the connections.
  setMaxListeners(0, shutdown.signal);
  const rpcs = createRpcTable({ surfaces, maxBodyBytes, shutdownSignal: shutdown.signal, log });
  const routes = createRestTable(surfaces);
  let onLoopback = isLoopback(options.listen.host);

  const listener = createListener((request, response) => {
    // A client that goes away makes both fail at any time; the signals tell those who have to know.
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    serve(request, response).catch((error: unknown) => {
      if (isGone(response)) return;
      log.error({ err: error, path: request.url }, "a request failed");
      if (response.headersSent) abandon(response);
      else sendText(response, 500, "internal error");
    });
  }, timeouts);

  async function serve(request: NodeRequest, response: NodeResponse): Promise<void> {
    const head = readHead(request);
    if (!head) return sendText(response, 400, "the request's target or Host is malformed");
    if (onLoopback && !isLoopback(head.host)) {
      return sendText(response, 403, `this server answers only to loopback names, not to "${head.host}"`);
    }
    const foreign = foreignPage(head.headers, head.authority);
    if (foreign !== undefined) return sendText(response, 403, foreign);

    const handler = rpcs.find(head.url.pathname);
    if (handler) {
      record(handler.requestPath, rpcProtocol(head.headers), response);
      const actor = rpcs.isOpen(handler) ? undefined : options.authenticate(head.headers);
      return rpcs.serve(handler, actor, { request, response, headers: head.headers, body: bodyOf(request) });
    }
    const match = routes.find(head.method, head.url.pathname);
    record(match?.route.path ?? "unmatched", "rest", response);
    const actor = match?.route.open ? OPEN_CALLER : options.authenticate(head.headers);
    const calls = rpcProtocol(head.headers);
    if (!match && calls !== "connect") return sendGrpcRefusal(response, head, actor ? Code.Unimplemented : Code.Unauthenticated);
    if (!actor) return sendEmpty(response, 401);
    if (!match) return sendText(response, 404, "404 page not found");
    await serveRoute(match, actor, head, request, response);
  }

  async function serveRoute(
    match: RestMatch,
    actor: Actor,
    head: Head,
    request: NodeRequest,
    response: NodeResponse,
  ): Promise<void> {
    const signal = signalOf(response, shutdown.signal);
    const refuse = (refusal: Refusal): Promise<void> =>
      sendRest(match.surface.refuse?.(refusal) ?? plainRefusal(refusal), response, signal);
    const contentType = head.headers.get("content-type");
    if (!options.credentialed && hasBody(request) && isFormContentType(contentType)) {
      const message = "a body needs a content type, such as application/json";
      return refuse({ kind: "ContentType", status: 415, message });
    }
    const encoding = head.headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") {
      const message = `content encoding "${encoding}" is not served; send the body as it is`;
      return refuse({ kind: "ContentType", status: 415, message });
    }
    const body = await readBody(bodyOf(request), head.headers.get("content-length"), maxBodyBytes);
    if (body === undefined) {
      const message = `the body is larger than the limit of ${maxBodyBytes} bytes`;
      return refuse({ kind: "TooLarge", status: 413, message });
    }
    if (mayBeJson(contentType) && isTooDeep(body)) {
      const message = `the JSON body is nested deeper than ${MAX_JSON_DEPTH} levels`;
      return refuse({ kind: "TooDeep", status: 400, message });
    }
    const { method, url, headers } = head;
    const answer = await match.route.handle({
      method,
      url,
      headers,
      parameters: match.parameters,
      body,
      signal,
      actor,
    });
    await sendRest(answer, response, signal);
  }

  function record(route: string, protocol: RequestRecord["protocol"], response: NodeResponse): void {
    const begin = performance.now();
    response.once("close", () => {
      const seconds = (performance.now() - begin) / 1000;
      options.onRequest?.({ route, protocol, status: response.statusCode, seconds });
    });
  }

  let started: ReturnType<Server["start"]> | undefined;
  let stopped: Promise<void> | undefined;
  return {
    start() {
      started ??= listener.listen(options.listen.host, options.listen.port).then((address) => {
        onLoopback = isLoopback(address.host);
        return address;
      });
      return started;
    },
    stop() {
      stopped ??= (async () => {
        if (!started || !(await started.catch(() => undefined))) return;
        shutdown.abort(new ConnectError("the server is shutting down", Code.Unavailable));
        await listener.drain(timeouts.drain);
      })();
      return stopped;
    },
  };
}

/** Open routes have no caller; a handler that asks for rights gets none. */
const OPEN_CALLER: Actor = { role: "domain", domain: null };

/** Aborts when the client has gone or the server stops. */
function signalOf(response: NodeResponse, shutdownSignal: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const onShutdown = (): void => controller.abort(shutdownSignal.reason);
  if (shutdownSignal.aborted) onShutdown();
  shutdownSignal.addEventListener("abort", onShutdown);
  response.once("close", () => {
    shutdownSignal.removeEventListener("abort", onShutdown);
    controller.abort();
  });
  return controller.signal;
}

function plainRefusal(refusal: Refusal): RestResponse {
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status: refusal.status, headers, body: JSON.stringify({ message: refusal.message }) };
}

function sendText(response: NodeResponse, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(text);
}

/** A call of no known method, refused so that gRPC clients read it as a status and not as a broken answer. */
function sendGrpcRefusal(response: NodeResponse, head: Head, code: Code): void {
  response.statusCode = 200;
  response.setHeader("content-type", head.headers.get("content-type") ?? "application/grpc");
  response.setHeader("grpc-status", String(code));
  const message = code === Code.Unimplemented ? `no method ${head.url.pathname} here` : "a valid credential is needed";
  // The path is ASCII; only the sign of the encoding itself has to be encoded.
  response.setHeader("grpc-message", message.replaceAll("%", "%25"));
  response.end();
}

function sendEmpty(response: NodeResponse, status: number): void {
  response.statusCode = status;
  response.end();
}

function isGone(response: NodeResponse): boolean {
  return response.destroyed || ("stream" in response && response.stream.closed);
}

/** Ends a response whose head is out and whose rest cannot come: the client must see that it is not complete. */
function abandon(response: NodeResponse): void {
  if ("stream" in response) response.stream.destroy();
  else response.destroy();
}
