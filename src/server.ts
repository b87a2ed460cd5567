/**
 * The front door: one port for gRPC, gRPC-Web, Connect and plain HTTP routes, over HTTP/1.1 and HTTP/2, in cleartext or
 * over TLS. A second port may serve the same.
 *
 * The server knows no protocol's meaning. It decides about a request's head (where it comes from, who sends it), finds
 * the surface that claims its path, bounds its body, and sees to it that no request can end the process. What it
 * refuses by itself:
 *
 *   400  a Host that is none, a target that is no URL      403  a foreign web page, or a foreign name on loopback
 *   401  no valid credential (in the surface's words)      404  a path and method that no surface claims
 *   307  a known path with a slash too many
 *   413  a body over the limit, 415  a content type that any web page could send (both in the surface's words)
 *   429  more requests than the credential may send (in the surface's words)
 *
 * gRPC and Connect calls get 401, 413 and 429 as errors of their own protocol: `unauthenticated`, `resource_exhausted`.
 */

import { setMaxListeners } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { Admission, Authenticate } from "./access.js";
import { isLoopback } from "./loopback.js";
import { foreignPage, isFormContentType, isTooDeep, MAX_JSON_DEPTH, needsNoPreflight } from "./server/guard.js";
import { bodyOf, hasBody, type Head, mayBeJson, readHead, rpcProtocol } from "./server/head.js";
import { createListener, type Listener, type ListenerTimeouts, type NodeRequest, type NodeResponse } from "./server/listener.js";
import { createRestTable, readBody, type RestMatch, sendRest } from "./server/rest.js";
import { createRpcTable, NO_CREDENTIAL, TOO_MANY } from "./server/rpc.js";
import { createStanding } from "./server/standing.js";
import { clientCertificateOf } from "./server/tls.js";
import type { Refusal, RestResponse, Surface } from "./surface.js";
import type { TlsMaterial } from "./tls.js";

/** One answered request, for metrics. */
export interface RequestRecord {
  /** The call's path or the route's pattern; `unmatched` where there is none. Never what a client made up. */
  readonly route: string;
  readonly protocol: "grpc" | "grpc-web" | "connect" | "rest";
  /** The HTTP status; gRPC and streams report errors after it. */
  readonly status: number;
  readonly seconds: number;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ServerOptions {
  readonly listen: Address;
  /** A second port for the same, for clients that know one for HTTP and one for gRPC. */
  readonly alsoListen?: Address;
  /** Asked at each handshake. Without it the ports are cleartext; with it cleartext is refused. */
  readonly tls?: () => TlsMaterial;
  readonly surfaces: readonly Surface[];
  /** The caller of a request. Bodies of ambient callers need a content type that no web page can send. */
  readonly authenticate: Authenticate;
  readonly maxBodyBytes: number;
  readonly log: Logger;
  readonly timeouts?: Partial<ServerTimeouts>;
  onRequest?(record: RequestRecord): void;
}

export interface ServerTimeouts extends ListenerTimeouts {
  /** How long `stop` waits for open requests, in milliseconds. */
  readonly drain: number;
  /** How often open requests are asked whether their credential is still good, in milliseconds. */
  readonly standing: number;
}

export interface Server {
  /** Resolves with the addresses in use. Repeating it gives the same answer. */
  start(): Promise<Address & { readonly also?: Address }>;
  /** Ends streams with `unavailable`, lets other requests finish within the drain time. May be repeated. */
  stop(): Promise<void>;
}

const DEFAULT_TIMEOUTS: ServerTimeouts = {
  peek: 10_000,
  headers: 20_000,
  request: 300_000,
  idle: 300_000,
  drain: 10_000,
  standing: 5000,
};

export function createServer(options: ServerOptions): Server {
  const { surfaces, log, maxBodyBytes } = options;
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const shutdown = new AbortController();
  // Every open call listens to it; their number is bounded by the connections.
  setMaxListeners(0, shutdown.signal);
  const standing = createStanding(timeouts.standing);
  const rpcs = createRpcTable({ surfaces, maxBodyBytes, shutdownSignal: shutdown.signal, standing, log });
  const routes = createRestTable(surfaces);

  function openDoor(address: Address): Door {
    let onLoopback = isLoopback(address.host);
    const receive = (request: NodeRequest, response: NodeResponse): void => {
      // A client that goes away makes both fail at any time; the signals tell those who have to know.
      request.on("error", () => undefined);
      response.on("error", () => undefined);
      serve(request, response, onLoopback).catch((error: unknown) => {
        if (isGone(response)) return;
        log.error({ err: error, path: request.url }, "a request failed");
        if (response.headersSent) abandon(response);
        else sendText(response, 500, "internal error");
      });
    };
    const listener = createListener(receive, timeouts, options.tls);
    const listen = async (): Promise<Address> => {
      const inUse = await listener.listen(address.host, address.port);
      onLoopback = isLoopback(inUse.host);
      return inUse;
    };
    return { listen, drain: (graceMs) => listener.drain(graceMs) };
  }

  async function serve(request: NodeRequest, response: NodeResponse, onLoopback: boolean): Promise<void> {
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
      const admission = rpcs.isOpen(handler) ? undefined : admit(request, head, response);
      return rpcs.serve(handler, admission, { request, response, headers: head.headers, body: bodyOf(request) });
    }
    const match = routes.find(head.method, head.url.pathname);
    record(match?.route.path ?? "unmatched", "rest", response);
    const admission = match?.route.open ? OPEN_CALLER : admit(request, head, response);
    const calls = rpcProtocol(head.headers);
    if (!match && calls !== "connect") return sendGrpcRefusal(response, head, GRPC_REFUSALS[admission.kind]);
    if (!match && admission.kind === "Unauthenticated") return sendEmpty(response, 401);
    if (!match && admission.kind === "TooMany") return sendText(response, 429, TOO_MANY);
    const slashed = !match && routes.find(head.method, head.url.pathname.replace(/\/$/, ""));
    if (slashed) return sendRedirect(response, head.url);
    if (!match) return sendText(response, 404, "404 page not found");
    await serveRoute(match, admission, head, request, response);
  }

  function admit(request: NodeRequest, head: Head, response: NodeResponse): Admission {
    const admission = options.authenticate(head.headers, clientCertificateOf(request));
    if (admission.kind === "TooMany") response.setHeader("retry-after", Math.ceil(admission.waitMs / 1000));
    return admission;
  }

  async function serveRoute(
    match: RestMatch,
    admission: Admission,
    head: Head,
    request: NodeRequest,
    response: NodeResponse,
  ): Promise<void> {
    const signal = signalOf(response, shutdown.signal, standing.signalOf(admission, response));
    const answerTo = (refusal: Refusal): RestResponse =>
      match.route.refuse?.(refusal) ?? match.surface.refuse?.(refusal, head) ?? plainRefusal(refusal);
    const refuse = (refusal: Refusal): Promise<void> => sendRest(answerTo(refusal), response, signal);
    if (admission.kind === "Unauthenticated") return refuse({ kind: "Unauthenticated", status: 401, message: NO_CREDENTIAL });
    if (admission.kind === "TooMany") return refuse({ kind: "TooMany", status: 429, message: TOO_MANY });
    const contentType = head.headers.get("content-type");
    if (admission.ambient && needsNoPreflight(head.method) && hasBody(request) && isFormContentType(contentType)) {
      const message = "a body needs a content type, such as application/json";
      return refuse({ kind: "ContentType", status: 415, message });
    }
    const encoding = head.headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") {
      const message = `content encoding "${encoding}" is not served; send the body as it is`;
      return refuse({ kind: "ContentType", status: 415, message });
    }
    const limit = Math.min(maxBodyBytes, admission.maxBodyBytes ?? maxBodyBytes);
    const body = await readBody(bodyOf(request), head.headers.get("content-length"), limit);
    if (body === undefined) {
      const message = `the body is larger than the limit of ${limit} bytes`;
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
      actor: admission.actor,
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

  const doors = [options.listen, ...(options.alsoListen ? [options.alsoListen] : [])].map(openDoor);
  const drain = (ms: number): Promise<unknown> => Promise.all(doors.map((door) => door.drain(ms)));
  let started: ReturnType<Server["start"]> | undefined;
  let stopped: Promise<void> | undefined;
  return {
    start() {
      standing.start();
      started ??= listenAll(doors).catch(async (error: unknown) => {
        standing.stop();
        await drain(0);
        throw error;
      });
      return started;
    },
    stop() {
      stopped ??= (async () => {
        if (!started || !(await started.catch(() => undefined))) return;
        shutdown.abort(new ConnectError("the server is shutting down", Code.Unavailable));
        await drain(timeouts.drain);
        standing.stop();
      })();
      return stopped;
    },
  };
}

/** One port. */
interface Door extends Pick<Listener, "drain"> {
  listen(): Promise<Address>;
}

async function listenAll(doors: readonly Door[]): Promise<Address & { readonly also?: Address }> {
  const [first, also] = await Promise.all(doors.map((door) => door.listen()));
  if (!first) throw new Error("no address to listen on");
  return also ? { ...first, also } : first;
}

/** Open routes have no caller; a handler that asks for rights gets none. */
const OPEN_CALLER: Admission = { kind: "Admitted", actor: { role: "domain", domain: null }, ambient: true };

/** How a call of no known method ends. */
const GRPC_REFUSALS = {
  Admitted: Code.Unimplemented,
  Unauthenticated: Code.Unauthenticated,
  TooMany: Code.ResourceExhausted,
} as const satisfies Record<Admission["kind"], Code>;

/** Aborts when the client has gone, its credential has, or the server stops. */
function signalOf(response: NodeResponse, shutdownSignal: AbortSignal, standing: AbortSignal): AbortSignal {
  const controller = new AbortController();
  standing.addEventListener("abort", () => controller.abort(standing.reason), { once: true });
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
  if (refusal.kind === "Unauthenticated") return { status: refusal.status, headers: {}, body: "" };
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status: refusal.status, headers, body: JSON.stringify({ message: refusal.message }) };
}

function sendText(response: NodeResponse, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "text/plain; charset=utf-8");
  response.end(text);
}

const GRPC_MESSAGES: ReadonlyMap<Code, string> = new Map([
  [Code.Unauthenticated, NO_CREDENTIAL],
  [Code.ResourceExhausted, TOO_MANY],
]);

/** A call of no known method, refused so that gRPC clients read it as a status and not as a broken answer. */
function sendGrpcRefusal(response: NodeResponse, head: Head, code: Code): void {
  response.statusCode = 200;
  response.setHeader("content-type", head.headers.get("content-type") ?? "application/grpc");
  response.setHeader("grpc-status", String(code));
  const message = GRPC_MESSAGES.get(code) ?? `no method ${head.url.pathname} here`;
  // The path is ASCII; only the sign of the encoding itself has to be encoded.
  response.setHeader("grpc-message", message.replaceAll("%", "%25"));
  response.end();
}

/** To the same path without the slash at its end. 307 keeps the method and the body. */
function sendRedirect(response: NodeResponse, url: URL): void {
  response.setHeader("location", url.pathname.replace(/\/$/, "") + url.search);
  sendEmpty(response, 307);
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
