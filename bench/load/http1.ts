/** An HTTP/1.1 client for load: one request at a time on a plain socket, kept alive. See http2.ts for why it is so plain. */

import { connect, type Socket } from "node:net";

export interface Http1Answer {
  readonly status: number;
  readonly body: string;
}

export class Http1Connection {
  readonly #socket: Socket;
  #received = "";
  #answer: ((answer: Http1Answer) => void) | undefined;
  #fail: ((reason: string) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    // One byte is one character, so lengths in bytes are lengths of the text.
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#read(chunk));
    socket.on("error", (error) => this.#fail?.(error.message));
    socket.on("close", () => this.#fail?.("the connection was closed"));
  }

  static open(url: string): Promise<Http1Connection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Http1Connection(socket));
      });
    });
  }

  /** Sends a whole request. The answer before it must have come. */
  request(bytes: Buffer, answer: (answer: Http1Answer) => void, fail: (reason: string) => void): void {
    this.#answer = answer;
    this.#fail = fail;
    // A copy, since the caller may fill the bytes anew before they are out.
    this.#socket.write(Buffer.from(bytes));
  }

  close(): void {
    this.#fail = undefined;
    this.#socket.destroy();
  }

  #read(chunk: string): void {
    this.#received += chunk;
    const headEnd = this.#received.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd).toLowerCase();
    const body = bodyOf(head, this.#received.slice(headEnd + 4));
    if (body === undefined) return;
    this.#received = "";
    this.#answer?.({ status: Number(head.slice(9, 12)), body });
  }
}

/** Undefined as long as it is not complete. Only one answer is under way, so what has come is of this one. */
function bodyOf(head: string, received: string): string | undefined {
  const at = head.indexOf("\r\ncontent-length:");
  if (at >= 0) return received.length >= Number.parseInt(head.slice(at + 17), 10) ? received : undefined;
  if (!head.includes("\r\ntransfer-encoding: chunked")) return "";
  if (!received.endsWith("0\r\n\r\n")) return undefined;
  let body = "";
  for (let at = 0; ; ) {
    const line = received.indexOf("\r\n", at);
    const length = Number.parseInt(received.slice(at, line), 16);
    if (!(length > 0)) return line < 0 || length !== 0 ? undefined : body;
    body += received.slice(line + 2, line + 2 + length);
    at = line + 2 + length + 2;
    if (at > received.length) return undefined;
  }
}

/** A POST of JSON whose body has a fixed length. */
export function encodePost(url: string, path: string, body: Buffer): Buffer {
  const lines = [
    `POST ${path} HTTP/1.1`,
    `host: ${new URL(url).host}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), body]);
}

/** A GET of JSON; a path holds its parameters. */
export function encodeGet(url: string, path: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: ${new URL(url).host}\r\naccept: application/json\r\n\r\n`);
}
