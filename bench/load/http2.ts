/**
 * An HTTP/2 client for load: frames written by hand on a plain socket. Node's own client costs about as much per call as
 * the servers that are to be measured; this one a small part of it, so on a shared machine the load takes little from
 * what it measures. It speaks what gRPC in cleartext needs and nothing else: request heads are encoded once, answers'
 * heads are not read (whether a call was good is told by its message, see grpc.ts), and the windows are opened wide.
 */

import { connect, type Socket } from "node:net";

export interface StreamListener {
  /** A piece of the answer's body. The bytes are valid during the call only. */
  data(bytes: Buffer): void;
  /** The server has ended the stream in order. */
  end(): void;
  /** The stream was reset or its connection lost. */
  fail(reason: string): void;
}

const TYPE = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, window: 8 } as const;
const END_STREAM = 0x1;
const ACK = 0x1;
const END_HEADERS = 0x4;
const PADDED = 0x8;

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const INITIAL_WINDOW = 0x4;
const LARGEST_WINDOW = 2 ** 31 - 1;
const FIRST_WINDOW = 65_535;
/** Bytes after which the connection's window is filled up again. */
const REFILL = 2 ** 28;

const LARGEST_FRAME = 16_384;

/** A request whose body does not fit into one frame, or not into a window now. */
interface Sending {
  readonly id: number;
  readonly body: Buffer;
  at: number;
  /** What the server still lets us send on its stream. */
  window: number;
}

export class Http2Connection {
  readonly #socket: Socket;
  readonly #listeners = new Map<number, StreamListener>();
  readonly #sending: Sending[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #out: Buffer[] = [];
  #nextId = 1;
  /** What the server still lets us send on the connection; only request bodies count. */
  #window = FIRST_WINDOW;
  /** The same for a new stream. */
  #streamWindow = FIRST_WINDOW;
  #taken = 0;
  #lost: string | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => this.#lose(error.message));
    socket.on("close", () => this.#lose("the connection was closed"));
    // No table for compression, no push, and a window that is never full.
    const settings = Buffer.alloc(18);
    settings.writeUInt16BE(0x1, 0);
    settings.writeUInt32BE(0, 2);
    settings.writeUInt16BE(0x2, 6);
    settings.writeUInt32BE(0, 8);
    settings.writeUInt16BE(INITIAL_WINDOW, 12);
    settings.writeUInt32BE(LARGEST_WINDOW, 14);
    this.#out.push(PREFACE, frame(TYPE.settings, 0, 0, settings), windowUpdate(LARGEST_WINDOW - FIRST_WINDOW));
    this.#flush();
  }

  static open(url: string): Promise<Http2Connection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Http2Connection(socket));
      });
    });
  }

  /** Sends a whole request. `head` is of `encodeHead`. All requests of one turn of the event loop leave in one write. */
  request(head: Buffer, body: Buffer, listener: StreamListener): void {
    if (this.#lost !== undefined) return listener.fail(this.#lost);
    const id = this.#nextId;
    this.#nextId += 2;
    this.#listeners.set(id, listener);
    this.#write(frame(TYPE.headers, END_HEADERS, id, head));
    const fits = Math.min(LARGEST_FRAME, this.#window, this.#streamWindow);
    if (body.length <= fits && this.#sending.length === 0) {
      this.#window -= body.length;
      this.#write(frame(TYPE.data, END_STREAM, id, body));
      return;
    }
    // A copy, since the caller may fill the bytes anew.
    this.#sending.push({ id, body: Buffer.from(body), at: 0, window: this.#streamWindow });
    this.#sendOn();
  }

  close(): void {
    this.#lost ??= "closed by us";
    this.#socket.destroy();
  }

  /** As much of the waiting bodies as the windows allow. */
  #sendOn(): void {
    for (const each of this.#sending) {
      while (each.at < each.body.length) {
        const length = Math.min(LARGEST_FRAME, this.#window, each.window, each.body.length - each.at);
        if (length <= 0) break;
        const last = each.at + length === each.body.length;
        this.#write(frame(TYPE.data, last ? END_STREAM : 0, each.id, each.body.subarray(each.at, each.at + length)));
        each.at += length;
        each.window -= length;
        this.#window -= length;
      }
    }
    while (this.#sending[0] && this.#sending[0].at === this.#sending[0].body.length) this.#sending.shift();
  }

  #write(bytes: Buffer): void {
    if (this.#out.length === 0) process.nextTick(() => this.#flush());
    this.#out.push(bytes);
  }

  #flush(): void {
    const out = this.#out;
    this.#out = [];
    if (out.length > 0 && this.#lost === undefined) this.#socket.write(out.length === 1 ? (out[0] ?? "") : Buffer.concat(out));
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + 9 <= bytes.length) {
      const length = bytes.readUIntBE(at, 3);
      const end = at + 9 + length;
      if (end > bytes.length) break;
      const id = bytes.readUInt32BE(at + 5) & 0x7fffffff;
      this.#receive(bytes[at + 3] ?? 0, bytes[at + 4] ?? 0, id, bytes.subarray(at + 9, end));
      at = end;
    }
    this.#rest = at === bytes.length ? Buffer.alloc(0) : bytes.subarray(at);
  }

  #receive(type: number, flags: number, id: number, payload: Buffer): void {
    const listener = this.#listeners.get(id);
    if (type === TYPE.data) {
      this.#taken += payload.length;
      if (this.#taken > REFILL) {
        this.#write(windowUpdate(this.#taken));
        this.#taken = 0;
      }
      const unpadded = flags & PADDED ? payload.subarray(1, payload.length - (payload[0] ?? 0)) : payload;
      if (unpadded.length > 0) listener?.data(unpadded);
      if (flags & END_STREAM) this.#finish(id, listener);
    } else if (type === TYPE.headers) {
      if (flags & END_STREAM) this.#finish(id, listener);
    } else if (type === TYPE.window) {
      this.#widen(id, payload.readUInt32BE(0) & 0x7fffffff);
    } else if (type === TYPE.reset) {
      this.#listeners.delete(id);
      listener?.fail(`the server reset the stream with code ${payload.readUInt32BE(0)}`);
    } else if (type === TYPE.settings) {
      if (!(flags & ACK)) this.#agree(payload);
    } else if (type === TYPE.ping) {
      if (!(flags & ACK)) this.#write(frame(TYPE.ping, ACK, 0, payload));
    } else if (type === TYPE.goaway) {
      this.#lose(`the server said goodbye with code ${payload.readUInt32BE(4)}`);
    }
  }

  #finish(id: number, listener: StreamListener | undefined): void {
    this.#listeners.delete(id);
    listener?.end();
  }

  #widen(id: number, by: number): void {
    if (id === 0) this.#window += by;
    else for (const each of this.#sending) if (each.id === id) each.window += by;
    if (this.#sending.length > 0) this.#sendOn();
  }

  /** Of the server's settings only the window of new streams matters. */
  #agree(settings: Buffer): void {
    for (let at = 0; at + 6 <= settings.length; at += 6) {
      if (settings.readUInt16BE(at) !== INITIAL_WINDOW) continue;
      const window = settings.readUInt32BE(at + 2);
      for (const each of this.#sending) each.window += window - this.#streamWindow;
      this.#streamWindow = window;
    }
    this.#write(frame(TYPE.settings, ACK, 0, Buffer.alloc(0)));
    this.#sendOn();
  }

  #lose(reason: string): void {
    this.#lost ??= reason;
    const open = [...this.#listeners.values()];
    this.#listeners.clear();
    this.#sending.length = 0;
    for (const listener of open) listener.fail(this.#lost);
  }
}

function frame(type: number, flags: number, id: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id, 5);
  payload.copy(bytes, 9);
  return bytes;
}

function windowUpdate(by: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(by, 0);
  return frame(TYPE.window, 0, 0, payload);
}

/** A request's head as HPACK without any state: `:method POST` and `:scheme http` by index, all else as literals. */
export function encodeHead(url: string, path: string, headers: Readonly<Record<string, string>>): Buffer {
  const parts = [Buffer.from([0x83, 0x86, 0x04]), literal(path), Buffer.from([0x01]), literal(new URL(url).host)];
  for (const [name, value] of Object.entries(headers)) parts.push(Buffer.from([0x00]), literal(name), literal(value));
  return Buffer.concat(parts);
}

/** A string of HPACK with a length of 7 bits and one more byte where that is not enough. */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  if (bytes.length >= 255) throw new Error(`too long for a header of the load: ${text}`);
  return Buffer.concat([Buffer.from([0x7f, bytes.length - 127]), bytes]);
}
