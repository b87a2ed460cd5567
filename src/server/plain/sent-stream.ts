/**
 * One stream of encoded messages, from its opening to its trailers. It takes from its source when it is woken and its
 * client keeps up, and writes what it took in one piece.
 */

import type { OutgoingHttpHeaders } from "node:http";
import type { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { OpenStream } from "../../surface.js";
import type { Http2Exchange } from "../http2.js";
import { nodeHeaders } from "./format.js";
import { grpc } from "./grpc.js";

/** What is written at a time, in bytes. A client that does not read holds as much of the server's memory. */
const TAKE_BYTES = 64 * 1024;

const HEADER = grpc.header(false);
const NO_BODY = new Uint8Array();

export interface SentStreamOptions {
  open(wake: () => void): OpenStream;
  translate(error: unknown): ConnectError;
  /** Called once, whoever ended it. */
  onEnd(): void;
}

export class SentStream {
  private source: OpenStream | undefined;
  private trailer: OutgoingHttpHeaders = grpc.trailer;
  /** Among those that are due. */
  private isDue = false;
  private isFull = false;
  private isOver = false;

  constructor(
    private readonly exchange: Http2Exchange,
    private readonly due: DueStreams,
    private readonly options: SentStreamOptions,
  ) {}

  /** Sends the head at once; the client waits for it. */
  open(): void {
    const { exchange } = this;
    try {
      this.source = this.options.open(this.wake);
    } catch (error) {
      this.isOver = true;
      this.options.onEnd();
      return exchange.sendWithTrailers(HEADER, NO_BODY, this.trailerOf(error));
    }
    if (exchange.isGone) return this.close();
    exchange.openWithTrailers(HEADER, () => this.trailer);
    exchange.stream.on("drain", () => {
      this.isFull = false;
      this.wake();
    });
    exchange.onClose(() => this.close());
    this.wake();
  }

  /** There may be something to take. However often it is called, one look follows. */
  private readonly wake = (): void => {
    if (this.isDue || this.isFull || this.isOver) return;
    this.isDue = true;
    this.due.add(this);
  };

  /** Takes and sends what is ready. */
  look(): void {
    this.isDue = false;
    try {
      if (this.source) this.send(this.source);
    } catch (error) {
      this.end(error);
    }
  }

  private send(source: OpenStream): void {
    let left = TAKE_BYTES;
    while (left > 0 && !this.isFull && !this.isOver) {
      const messages = source.take(left);
      const [first] = messages;
      if (first === undefined) {
        const { ended } = source;
        if (ended) this.end(ended.error);
        return;
      }
      const bytes = messages.length === 1 ? first : Buffer.concat(messages);
      left -= bytes.byteLength;
      this.isFull = !this.exchange.stream.write(bytes);
    }
    // The others' turn.
    this.wake();
  }

  /** Ends the stream: as it should where there is no error. What was written before is still sent. */
  end(error?: unknown): void {
    if (this.isOver) return;
    if (error !== undefined) this.trailer = this.trailerOf(error);
    this.close();
    if (!this.exchange.isGone) this.exchange.stream.end();
  }

  private close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.source?.close();
    this.options.onEnd();
  }

  private trailerOf(error: unknown): OutgoingHttpHeaders {
    return nodeHeaders(setTrailerStatus(new Headers(), this.options.translate(error)));
  }
}

/** After looking at many streams comes a pause of twice the time it took, but no longer than this, in milliseconds. */
const LONGEST_PAUSE = 10;

/**
 * Streams that were woken, looked at together, however many a single event wakes. A few are looked at at once; where it
 * takes long, what comes in the pause after it goes out in one piece, which costs a stream no more than a single message.
 */
export class DueStreams {
  private streams: SentStream[] = [];
  private notBefore = 0;

  add(stream: SentStream): void {
    if (this.streams.push(stream) > 1) return;
    const pause = this.notBefore - performance.now();
    if (pause < 1) setImmediate(this.lookAtAll);
    else setTimeout(this.lookAtAll, pause);
  }

  private readonly lookAtAll = (): void => {
    const streams = this.streams;
    this.streams = [];
    const begin = performance.now();
    for (const stream of streams) stream.look();
    const end = performance.now();
    this.notBefore = end + Math.min(2 * (end - begin), LONGEST_PAUSE);
  };
}
