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

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  constants,
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TlsMaterial } from "../tls.js";
import { acceptTls } from "./tls.js";

export type NodeRequest = IncomingMessage | Http2ServerRequest;
export type NodeResponse = ServerResponse | Http2ServerResponse;

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
  serve: (request: NodeRequest, response: NodeResponse) => void,
  timeouts: ListenerTimeouts,
  tls?: () => TlsMaterial,
): Listener {
  const sockets = new Set<Socket>();
  const undecided = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  let draining = false;

  const serveAndDiscard = (request: NodeRequest, response: NodeResponse): void => {
    const sink = "stream" in response ? response.stream : response;
    // Unread bytes of an answered request would block its connection. `request` bounds the time of that.
    sink.once("finish", () => request.readableEnded || request.resume());
    serve(request, response);
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
      response.once("close", () => draining && setImmediate(() => http1.closeIdleConnections()));
      serveAndDiscard(request, response);
    },
  );
  const http2 = createHttp2Server({ settings: { maxConcurrentStreams: 10_000 } }, serveAndDiscard);
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    // Errors of one connection end that connection; without a listener they would end the process.
    session.on("error", () => session.destroy());
    watchSession(session, timeouts);
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
          resolve();
        });
        undecided.forEach((socket) => socket.destroy());
        // GOAWAY; streams that are open may finish.
        sessions.forEach((session) => session.close());
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
 * HTTP/2 has no timeouts of its own in Node: a silent connection, or a request whose body never ends, would stay. A
 * connection that is silent although calls are open gets a ping, since Node does not always notice that a client has
 * hung up; without an answer it is cut.
 */
function watchSession(session: ServerHttp2Session, timeouts: ListenerTimeouts): void {
  let open = 0;
  session.setTimeout(timeouts.idle);
  session.on("timeout", () => {
    if (open === 0) return session.close();
    const dead = setTimeout(() => session.destroy(), timeouts.idle);
    session.ping((error) => {
      clearTimeout(dead);
      // A session that is closing takes no pings; what is open on it has been silent for too long.
      if (error) session.destroy();
      // A ping is no activity to Node: the next silence has to be asked for.
      else session.setTimeout(timeouts.idle);
    });
  });
  session.on("stream", (stream: ServerHttp2Stream) => {
    open += 1;
    const late = setTimeout(() => {
      const answering = stream.headersSent && !stream.writableFinished;
      if (!stream.readableEnded && !answering) stream.close(constants.NGHTTP2_CANCEL);
    }, timeouts.request);
    stream.once("end", () => clearTimeout(late));
    stream.once("close", () => {
      open -= 1;
      clearTimeout(late);
    });
  });
}
