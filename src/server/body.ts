/** Reading a body whole. */

import type { Readable } from "node:stream";
import { type BodyShare, crowded, within } from "./body-room.js";
import { bodyOf } from "./head.js";

export interface Collected {
  readonly chunks: readonly Uint8Array[];
  /** False where the body is longer than was asked for: the rest is still to be read. */
  readonly complete: boolean;
  /** There was no room for all of it. */
  readonly crowded: boolean;
}

/** The body, up to the chunk that goes over `limit`. Never settles where the client breaks off: nobody waits for more. */
export function collect(body: Readable, limit: number, share: BodyShare): Promise<Collected> {
  return new Promise((resolve) => {
    let chunks: Uint8Array[] = [];
    let size = 0;
    const settle = (read: Collected): void => {
      // A stream may stay open for days, and is kept by Node for a while after its end, with all that listens to it.
      body.off("data", onData);
      body.off("end", onEnd);
      chunks = [];
      resolve(read);
    };
    const onData = (chunk: Uint8Array): void => {
      const crowded = !share.take(chunk.byteLength);
      if (crowded) chunks = [];
      else chunks.push(chunk);
      size += chunk.byteLength;
      if (size <= limit && !crowded) return;
      body.pause();
      settle({ chunks, complete: false, crowded });
    };
    const onEnd = (): void => settle({ chunks, complete: true, crowded: false });
    body.on("data", onData);
    body.on("end", onEnd);
  });
}

export function join(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  return first && chunks.length === 1 ? first : Buffer.concat(chunks);
}

/** What was read already, and then the rest. */
export async function* replay(read: Collected, body: Readable, share: BodyShare): AsyncGenerator<Uint8Array> {
  if (read.crowded) throw crowded();
  yield* read.chunks;
  if (!read.complete) yield* within(share, bodyOf(body));
}
