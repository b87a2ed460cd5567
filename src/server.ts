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
 *   429  more requests than the credential may send, or too many bytes under way (in the surface's words)
 *
 * gRPC and Connect calls get 401, 413 and 429 as errors of their own protocol: `unauthenticated`, `resource_exhausted`.
 */

import { setMaxListeners } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Logger } from "pino";
import type { Admission, Authenticate } from "./access.js";
import { isLoopback } from "./loopback.js";
import { BodyRoom, CROWDED } from "./server/body-room.js";
import { foreignPage, isFormContentType, jsonExcess, MAX_OPEN_BODY_BYTES, needsNoPreflight } from "./server/guard.js";
import { type Exchange, TEXT } from "./server/exchange.js";
import { type Head, mayBeJson, readHead, rpcProtocol } from "./server/head.js";
import { Lifetime } from "./server/lifetime.js";
import { createListener, type Listener, type ListenerTimeouts } from "./server/listener.js";
import { createRestTable, readBody, type RestMatch, RouteRequest, sendRest } from "./server/rest.js";
import { createRpcTable, NO_CREDENTIAL, TOO_MANY } from "./server/rpc.js";
import { createStanding } from "./server/standing.js";
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
  /** Of all bodies that are in memory at once; four of the largest where left out. */
  readonly maxBodiesBytes?: number;
  readonly log: Logger;
  readonly timeouts?: Partial<ServerTimeouts>;
  onRequest?(record: RequestRecord): void;
  /** False: all calls go through the Connect router, as everything unusual does. For comparing the two ways. */
  readonly fastPaths?: boolean;
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
  const bodyRoom = new BodyRoom(options.maxBodiesBytes ?? 4 * maxBodyBytes);
  const shutdownSignal = shutdown.signal;
  const rpcs = createRpcTable({ surfaces, maxBodyBytes, bodyRoom, shutdownSignal, standing, fastPaths: options.fastPaths ?? true, log });
  const routes = createRestTable(surfaces);

  function openDoor(address: Address): Door {
    let onLoopback = isLoopback(address.host);
    const receive = (exchange: Exchange): void => {
      const onFault = (error: unknown): void => {
        if (exchange.isGone) return;
        log.error({ err: error, path: exchange.target }, "a request failed");
        exchange.fail();
      };
      try {
        serve(exchange, onLoopback)?.catch(onFault);
      } catch (error) {
        onFault(error);
      }
    };
    const listener = createListener(receive, timeouts, options.tls);
    const listen = async (): Promise<Address> => {
      const inUse = await listener.listen(address.host, address.port);
      onLoopback = isLoopback(inUse.host);
      return inUse;
    };
    return { listen, drain: (graceMs) => listener.drain(graceMs) };
  }

  function serve(exchange: Exchange, onLoopback: boolean): Promise<void> | void {
    const head = readHead(exchange);
    if (!head) return sendText(exchange, 400, "the request's target or Host is malformed");
    if (onLoopback && !isLoopback(head.host)) {
      return sendText(exchange, 403, `this server answers only to loopback names, not to "${head.host}"`);
    }
    const foreign = foreignPage(head, head.authority);
    if (foreign !== undefined) return sendText(exchange, 403, foreign);

    // Nearly all calls name their path as it is.
    const rpc = rpcs.find(head.target) ?? rpcs.find(head.path);
    if (rpc) {
      record(rpc.path, rpcProtocol(head), exchange);
      return rpc.serve(rpc.open ? undefined : admit(exchange, head), exchange, head);
    }
    const match = routes.find(head.method, head.path);
    record(match?.route.path ?? "unmatched", "rest", exchange);
    const admission = match?.route.open ? OPEN_CALLER : admit(exchange, head);
    if (!match && rpcProtocol(head) !== "connect") return sendGrpcRefusal(exchange, head, GRPC_REFUSALS[admission.kind]);
    if (!match && admission.kind === "Unauthenticated") return exchange.send(401, {}, NO_BODY);
    if (!match && admission.kind === "TooMany") return sendText(exchange, 429, TOO_MANY);
    const slashed = !match && routes.find(head.method, head.path.replace(/\/$/, ""));
    if (slashed) return sendRedirect(exchange, head.url);
    if (!match) return sendText(exchange, 404, "404 page not found");
    return serveRoute(match, admission, exchange, head);
  }

  function admit(exchange: Exchange, head: Head): Admission {
    const admission = options.authenticate(head, exchange.certificate);
    if (admission.kind === "TooMany") exchange.addHeader("retry-after", String(Math.ceil(admission.waitMs / 1000)));
    return admission;
  }

  async function serveRoute(
    match: RestMatch,
    admission: Admission,
    exchange: Exchange,
    head: Head,
  ): Promise<void> {
    const lifetime = new Lifetime({ exchange, shutdownSignal: shutdown.signal, standing: { keeper: standing, admission } });
    const answerTo = (refusal: Refusal): RestResponse =>
      match.route.refuse?.(refusal) ?? match.surface.refuse?.(refusal, head) ?? plainRefusal(refusal);
    const refuse = (refusal: Refusal): Promise<void> => sendRest(answerTo(refusal), exchange, lifetime);
    if (admission.kind === "Unauthenticated") return refuse({ kind: "Unauthenticated", status: 401, message: NO_CREDENTIAL });
    if (admission.kind === "TooMany") return refuse({ kind: "TooMany", status: 429, message: TOO_MANY });
    const contentType = head.get("content-type");
    if (admission.ambient && needsNoPreflight(head.method) && exchange.hasBody && isFormContentType(contentType)) {
      const message = "a body needs a content type, such as application/json";
      return refuse({ kind: "ContentType", status: 415, message });
    }
    const encoding = head.get("content-encoding") ?? "identity";
    if (encoding !== "identity") {
      const message = `content encoding "${encoding}" is not served; send the body as it is`;
      return refuse({ kind: "ContentType", status: 415, message });
    }
    const own = match.route.open ? MAX_OPEN_BODY_BYTES : admission.maxBodyBytes;
    const limit = Math.min(maxBodyBytes, own ?? maxBodyBytes);
    const share = bodyRoom.shareOf(exchange);
    const body = await readBody(exchange.body, { contentLength: head.get("content-length"), limit, share });
    if (body === "Crowded") return refuse({ kind: "TooMany", status: 429, message: CROWDED });
    if (body === "TooLarge") {
      const message = `the body is larger than the limit of ${limit} bytes`;
      return refuse({ kind: "TooLarge", status: 413, message });
    }
    const excess = mayBeJson(contentType) ? jsonExcess(body) : undefined;
    if (excess !== undefined) return refuse({ kind: "Unreadable", status: 400, message: `the JSON body ${excess}` });
    const answer = await match.route.handle(new RouteRequest(head, match.parameters, body, lifetime, admission.actor));
    await sendRest(answer, exchange, lifetime);
  }

  function record(route: string, protocol: RequestRecord["protocol"], exchange: Exchange): void {
    const begin = performance.now();
    exchange.onClose(() => {
      const seconds = (performance.now() - begin) / 1000;
      options.onRequest?.({ route, protocol, status: exchange.status, seconds });
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

function plainRefusal(refusal: Refusal): RestResponse {
  if (refusal.kind === "Unauthenticated") return { status: refusal.status, headers: {}, body: "" };
  const headers = { "content-type": "application/json; charset=utf-8" };
  return { status: refusal.status, headers, body: JSON.stringify({ message: refusal.message }) };
}

function sendText(exchange: Exchange, status: number, text: string): void {
  exchange.send(status, TEXT, Buffer.from(text));
}

const GRPC_MESSAGES: ReadonlyMap<Code, string> = new Map([
  [Code.Unauthenticated, NO_CREDENTIAL],
  [Code.ResourceExhausted, TOO_MANY],
]);

/** A call of no known method, refused so that gRPC clients read it as a status and not as a broken answer. */
function sendGrpcRefusal(exchange: Exchange, head: Head, code: Code): void {
  const message = GRPC_MESSAGES.get(code) ?? `no method ${head.path} here`;
  const headers = {
    "content-type": head.get("content-type") ?? "application/grpc",
    "grpc-status": String(code),
    // The path is ASCII; only the sign of the encoding itself has to be encoded.
    "grpc-message": message.replaceAll("%", "%25"),
  };
  exchange.send(200, headers, NO_BODY);
}

/** To the same path without the slash at its end. 307 keeps the method and the body. */
function sendRedirect(exchange: Exchange, url: URL): void {
  exchange.send(307, { location: url.pathname.replace(/\/$/, "") + url.search }, NO_BODY);
}

const NO_BODY = new Uint8Array();
