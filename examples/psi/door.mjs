import http from "node:http";
import { Failure } from "./failure.mjs";
import { closeServer, readBody } from "./http.mjs";

/**
 * What stands behind the door.
 * @typedef {object} Hooks
 * @property {(hello: string) => Greeting} greeted
 * @property {(session: string) => boolean} isPartner whether it is the session of the partner that was met
 * @property {(session: string, notice: string) => void} failed the partner says that it has failed
 * @property {() => void} done the partner has all it needs
 * @property {(failure: Failure) => void} broken the work cannot go on
 */

/**
 * @typedef {object} Greeting
 * @property {number} status
 * @property {string} body
 * @property {Failure | null} failure why the work ends after the answer
 */

/** @typedef {(piece: Buffer, last: boolean) => Uint8Array} TakePiece gives the answer to a piece */

/**
 * The listening side of an exchange. A request that is malformed, or not from the partner, is refused and changes
 * nothing.
 */
export class Door {
  #hooks;
  #server;
  /** @type {Map<string, { next: number, take: TakePiece }>} */
  #kinds = new Map();

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    this.#server = http.createServer((request, response) => {
      this.#answer(request, response).catch(() => end(response, 400));
    });
  }

  /**
   * @param {string} host
   * @param {number} port
   * @returns {Promise<void>}
   */
  open(host, port) {
    return new Promise((resolve, reject) => {
      this.#server.once("error", (error) => reject(new Failure(`cannot listen on ${host}:${port}: ${error.message}`)));
      this.#server.listen(port, host, resolve);
    });
  }

  /**
   * Declares, before the door opens, what to do with the partner's pieces of a kind.
   * @param {string} kind lower-case letters
   * @param {TakePiece} take
   */
  expect(kind, take) {
    this.#kinds.set(kind, { next: 0, take });
  }

  close() {
    return closeServer(this.#server);
  }

  /**
   * @param {http.IncomingMessage} request
   * @param {http.ServerResponse} response
   */
  async #answer(request, response) {
    const session = String(request.headers["x-psi-session"] ?? "");
    const body = await readBody(request);
    const route = `${request.method} ${request.url}`;
    if (route === "POST /psi/hello") {
      const { status, body: answer, failure } = this.#hooks.greeted(body.toString("utf8"));
      end(response, status, Buffer.from(answer), () => failure && this.#hooks.broken(failure));
    } else if (route === "POST /psi/failed") {
      this.#hooks.failed(session, body.toString("utf8"));
      end(response, 200);
    } else if (!this.#hooks.isPartner(session)) {
      end(response, 409);
    } else if (route === "POST /psi/fin") {
      end(response, 200, undefined, () => this.#hooks.done());
    } else if (route === "GET /psi/line") {
      response.writeHead(200).flushHeaders();
    } else {
      const [, kind = "", n = "", rest = ""] = /^POST \/psi\/([a-z]+)\/([0-9]+)\/(more|last)$/.exec(route) ?? [];
      this.#takePiece(response, kind, Number(n), rest === "last", body);
    }
  }

  /**
   * @param {http.ServerResponse} response
   * @param {string} kind
   * @param {number} n
   * @param {boolean} last
   * @param {Buffer} piece
   */
  #takePiece(response, kind, n, last, piece) {
    try {
      const expected = this.#kinds.get(kind);
      if (expected?.next !== n) throw new Failure("an unexpected request came from the partner");
      expected.next = last ? -1 : n + 1;
      end(response, 200, expected.take(piece, last));
    } catch (error) {
      end(response, 422);
      const failure = new Failure(`cannot use what the partner sent: ${String(error)}`);
      this.#hooks.broken(error instanceof Failure ? error : failure);
    }
  }
}

/**
 * @param {http.ServerResponse} response
 * @param {number} status
 * @param {Uint8Array} [body]
 * @param {() => void} [sent] called when the answer is out, or the connection is gone
 */
function end(response, status, body = new Uint8Array(), sent) {
  if (sent) response.once("close", sent);
  if (response.headersSent) response.destroy();
  else response.writeHead(status, { "content-length": body.length }).end(body);
}
