/**
 * One port for HTTP/1.1 and HTTP/2, in cleartext or over TLS.
 *
 * A plain http.Server listens, so that Node's own header and request timeouts hold; only its connection listener is
 * replaced. In cleartext the first three bytes of a connection decide: `PRI` is the start of the HTTP/2 preface and of
 * no HTTP/1 request that anybody sends. The bytes are put back before the connection is handed over, so neither side
 * notices. Over TLS the handshake decides (ALPN), and a client that speaks no TLS gets nowhere.
 *
 * What ends a connection that does nothing: `peek` before the first bytes or the end of the handshake, `headers` and
 * `request` while a request is being sent, `idle` between requests. None of them cuts a response that is still being
 * written.
 */

import { createServer } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TlsMaterial } from "../tls.js";
import { type Exchange, TEXT } from "./exchange.js";
import { Http1Exchange } from "./http1.js";
import { Http2Exchange } from "./http2.js";
import { SlowStreams } from "./slow-streams.js";
import { acceptTls } from "./tls.js";

/** All in milliseconds. */
export interface ListenerTimeouts {
  /** From the connection to its first three bytes, or to the end of the TLS handshake. */
  readonly peek: number;
  /** From the first byte of a request to the end of its headers (HTTP/1.1). */
  readonly headers: number;
  /** From the start of a request to the end of its body, as long as no answer has begun. */
  readonly request: number;
  /** A connection without an open request is closed after it; over HTTP/2, one with open calls must answer a ping. */
  readonly idle: number;
}

export interface Listener {
  /** Resolves with the address in use; rejects where it cannot be bound. */
  listen(host: string, port: number): Promise<{ readonly host: string; readonly port: number }>;
  /** Takes no new connection, lets open requests finish for at most `graceMs`, then cuts what is left. */
  drain(graceMs: number): Promise<void>;
}

/** Called once it is known what the connection speaks; with TLS, `socket` is the inner one. */
type Decided = (socket: Socket, isHttp2: boolean) => void;

const HTTP2_START = Buffer.from("PRI");

/**
 * `serve` gets every request of both protocols. It must not throw. `tls` is asked at each handshake, so that a
 * certificate can be replaced; without it the port is cleartext.
 */
export function createListener(
  serve: (exchange: Exchange) => void,
  timeouts: ListenerTimeouts,
  tls?: () => TlsMaterial,
): Listener {
  const sockets = new Set<Socket>();
  const undecided = new Set<Socket>();
  const sessions = new Map<Http2Session, OpenStreams>();
  let draining = false;

  const onHttp1Close = (): void => {
    if (draining) setImmediate(() => http1.closeIdleConnections());
  };
  const http1 = createServer(
    {
      headersTimeout: Math.min(timeouts.headers, timeouts.request),
      requestTimeout: timeouts.request,
      keepAliveTimeout: timeouts.idle,
      connectionsCheckingInterval: Math.min(timeouts.headers, timeouts.request, 5000),
    },
    (request, response) => {
      if (draining) response.setHeader("connection", "close");
      // A connection that was busy when draining began is closed as soon as it is not.
      response.on("close", onHttp1Close);
      serve(new Http1Exchange(request, response));
    },
  );
  const http2 = createHttp2Server({ settings: { maxConcurrentStreams: 10_000 } });
  const slow = new SlowStreams(timeouts.request);
  http2.on("stream", (stream, headers) => {
    const exchange = new Http2Exchange(stream, headers);
    const session = stream.session && sessions.get(stream.session);
    if (session) session.open += 1;
    const leave = slow.add(stream);
    exchange.onClose(() => {
      if (session) session.open -= 1;
      leave();
    });
    if (isExpected(stream, headers, exchange)) serve(exchange);
  });
  http2.on("session", (session) => {
    sessions.set(session, watchSession(session, timeouts.idle));
    session.once("close", () => sessions.delete(session));
    // Errors of one connection end that connection; without a listener they would end the process.
    session.on("error", () => session.destroy());
    if (draining) session.close();
  });

  const [serveHttp1] = http1.listeners("connection");
  if (!serveHttp1) throw new Error("http.Server has no connection listener");
  http1.removeAllListeners("connection");
  const handOver = (socket: Socket, isHttp2: boolean): void => {
    if (isHttp2) http2.emit("connection", socket);
    else serveHttp1.call(http1, socket);
  };
  const decide = tls
    ? acceptTls(tls, timeouts.peek)
    : (socket: Socket, decided: Decided) => peek(socket, timeouts.peek, (isHttp2) => decided(socket, isHttp2));
  http1.on("connection", (socket: Socket) => {
    sockets.add(socket);
    undecided.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      undecided.delete(socket);
    });
    // A reset can come at any time, also before one of the protocols listens for it.
    socket.on("error", () => socket.destroy());
    decide(socket, (decided, isHttp2) => {
      undecided.delete(socket);
      // An http.Server makes half-open sockets; an HTTP/2 session whose client has hung up would stay for good.
      if (isHttp2) socket.allowHalfOpen = decided.allowHalfOpen = false;
      handOver(decided, isHttp2);
    });
  });

  return {
    listen(host, port) {
      return new Promise((resolve, reject) => {
        http1.once("error", reject);
        http1.listen(port, host, () => {
          http1.off("error", reject);
          slow.start();
          // An AddressInfo, since it does not listen on a pipe.
          const address = http1.address() as AddressInfo;
          resolve({ host: address.address, port: address.port });
        });
      });
    },
    drain(graceMs) {
      draining = true;
      return new Promise((resolve) => {
        const cut = setTimeout(() => sockets.forEach((socket) => socket.destroy()), graceMs);
        http1.close(() => {
          clearTimeout(cut);
          slow.stop();
          resolve();
        });
        undecided.forEach((socket) => socket.destroy());
        // GOAWAY; streams that are open may finish.
        for (const session of sessions.keys()) session.close();
      });
    },
  };
}

function peek(socket: Socket, timeoutMs: number, decide: (isHttp2: boolean) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const settle = (): void => {
    clearTimeout(timer);
    socket.off("readable", onReadable);
    socket.off("close", settle);
  };
  const onReadable = (): void => {
    // Without an encoding a socket reads Buffers.
    const chunk = socket.read() as Buffer | null;
    if (chunk) seen = Buffer.concat([seen, chunk]);
    else if (socket.readableEnded || socket.destroyed) return void socket.destroy();
    else return;
    const start = seen.subarray(0, HTTP2_START.length);
    const matches = start.equals(HTTP2_START.subarray(0, start.length));
    if (matches && start.length < HTTP2_START.length) return;
    settle();
    socket.unshift(seen);
    decide(matches);
  };
  socket.on("readable", onReadable);
  socket.once("close", settle);
  socket.once("end", () => seen.length < HTTP2_START.length && socket.destroy());
}

/**
 * HTTP/2 has no timeouts of its own in Node: a silent connection would stay. One that is silent although calls are open
 * gets a ping, since Node does not always notice that a client has hung up; without an answer it is cut.
 */
function watchSession(session: ServerHttp2Session, idleMs: number): OpenStreams {
  const streams: OpenStreams = { open: 0 };
  session.setTimeout(idleMs);
  session.on("timeout", () => {
    if (streams.open === 0) return session.close();
    const dead = setTimeout(() => session.destroy(), idleMs);
    session.ping((error) => {
      clearTimeout(dead);
      // A session that is closing takes no pings; what is open on it has been silent for too long.
      if (error) session.destroy();
      // A ping is no activity to Node: the next silence has to be asked for.
      else session.setTimeout(idleMs);
    });
  });
  return streams;
}

/** How many calls of a connection are open. */
interface OpenStreams {
  open: number;
}

/** What Node itself does for requests over HTTP/1.1: tunnels are refused, and who waits for a go-ahead gets it. */
function isExpected(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, exchange: Exchange): boolean {
  const expect = headers.expect?.toLowerCase();
  if (headers[":method"] === "CONNECT") exchange.send(405, TEXT, NO_BODY);
  else if (expect === undefined) return true;
  else if (expect !== "100-continue") exchange.send(417, TEXT, NO_BODY);
  else if (!exchange.isGone) {
    stream.additionalHeaders({ ":status": 100 });
    return true;
  }
  return false;
}

const NO_BODY = new Uint8Array();
