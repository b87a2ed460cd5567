/** One plain HTTP request at a time, and reading a body within a limit. */

import http from "node:http";

/** No request or answer between the parties is larger. */
export const MAX_BODY_BYTES = 262_144;

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {Buffer} body
 */

/**
 * @typedef {object} RequestOptions
 * @property {"GET" | "POST"} [method] POST when absent
 * @property {string} [session]
 * @property {Uint8Array} [body]
 * @property {number} [timeoutMs] longest silence; when absent, as long as the connection stands
 * @property {AbortSignal} [signal]
 */

/**
 * Each request has its own connection: a kept one may be closed by the other side just as the next request goes out.
 * @param {string} endpoint `host:port` or `host`
 * @param {string} path
 * @param {RequestOptions} options
 */
export function request(endpoint, path, { method = "POST", session = "", body, timeoutMs, signal }) {
  const outgoing = http.request(`http://${endpoint}${path}`, {
    method,
    agent: false,
    headers: { "x-psi-session": session, "content-length": body?.length ?? 0 },
    ...(signal && { signal }),
  });
  outgoing.on("socket", (socket) => socket.setKeepAlive(true, 10_000));
  if (timeoutMs !== undefined) {
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`)));
  }
  outgoing.end(body);
  return outgoing;
}

/**
 * @param {string} endpoint
 * @param {string} path
 * @param {RequestOptions} options
 * @returns {Promise<Answer>}
 * @throws what the network reports, or that the answer was too large
 */
export function fetchAnswer(endpoint, path, options) {
  return new Promise((resolve, reject) => {
    const outgoing = request(endpoint, path, options);
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      readBody(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
    });
  });
}

/**
 * @param {http.IncomingMessage} message
 * @returns {Promise<Buffer>}
 */
export async function readBody(message) {
  /** @type {Buffer[]} */
  const pieces = [];
  let size = 0;
  for await (const piece of message) {
    const bytes = Buffer.from(piece);
    size += bytes.length;
    if (size > MAX_BODY_BYTES) throw new Error("body too large");
    pieces.push(bytes);
  }
  return Buffer.concat(pieces);
}

/**
 * Closes a server once the answers in flight are out, or after a second.
 * @param {http.Server} server
 * @returns {Promise<void>}
 */
export function closeServer(server) {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), 1000);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
