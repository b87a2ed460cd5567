/** TLS of a connection: the handshake, the protocol it settles on, and the certificate that the client shows. */

import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { ClientCertificate } from "../core/access.js";
import type { TlsMaterial } from "../tls.js";

/**
 * Makes the handshake of a raw connection, then tells the inner one and whether it speaks HTTP/2 (ALPN; clients that
 * name no protocol speak HTTP/1.1). A failed handshake ends its connection and nothing else.
 */
export function acceptTls(
  current: () => TlsMaterial,
  handshakeMs: number,
): (socket: Socket, decided: (inner: Socket, isHttp2: boolean) => void) => void {
  let material = current();
  // It never listens itself: the connections are those of the listener's own server.
  const server = createTlsServer({ ...optionsOf(material), ALPNProtocols: ["h2", "http/1.1"], handshakeTimeout: handshakeMs });
  // By the client's address: the server does not say which connection an inner one belongs to.
  const waiting = new Map<string, (inner: Socket, isHttp2: boolean) => void>();
  server.on("secureConnection", (inner: TLSSocket) => {
    inner.on("error", () => inner.destroy());
    const decided = waiting.get(addressOf(inner));
    if (decided) decided(inner, inner.alpnProtocol === "h2");
    else inner.destroy();
  });
  // The connection is closed already. Strangers do this all day, so it is no fault worth a line.
  server.on("tlsClientError", (_error, inner) => inner.destroy());
  return (socket, decided) => {
    const latest = current();
    if (latest !== material) {
      material = latest;
      // With keys of its own, so that a session under the old material cannot be taken up again.
      server.setSecureContext({ ...optionsOf(latest), ticketKeys: randomBytes(48) });
    }
    const address = addressOf(socket);
    waiting.set(address, decided);
    socket.once("close", () => waiting.delete(address));
    server.emit("connection", socket);
  };
}

function addressOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function optionsOf({ cert, key, clientCa }: TlsMaterial) {
  if (clientCa === undefined) return { cert, key };
  return { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: true };
}

const certificates = new WeakMap<object, ClientCertificate | null>();

/** The client's certificate; null in cleartext, and where none was demanded. Read once a connection. */
export function certificateOf(connection: object, socket: Socket): ClientCertificate | null {
  let known = certificates.get(connection);
  if (known === undefined) {
    known = readCertificate(socket);
    certificates.set(connection, known);
  }
  return known;
}

function readCertificate(socket: Socket): ClientCertificate | null {
  // A TLSSocket over TLS, behind a proxy object over HTTP/2, and a plain Socket in cleartext.
  const tls = socket as Socket & Partial<Pick<TLSSocket, "authorized" | "getPeerCertificate">>;
  if (!tls.authorized) return null;
  const certificate = tls.getPeerCertificate?.();
  // Node gives an empty object where there is none, and a list for a name part that is there twice.
  const commonName: unknown = certificate?.subject?.CN;
  if (!certificate?.valid_to) return null;
  return { commonName: typeof commonName === "string" ? commonName : null, expires: Date.parse(certificate.valid_to) };
}
