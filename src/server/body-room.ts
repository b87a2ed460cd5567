/**
 * How much of all requests' bodies may be in memory at once. Each body has a bound of its own; this is the one over all of
 * them, so that many clients, or many streams of one, cannot fill the memory together. The first bytes of a body are free:
 * most bodies are small, and their number is bounded by the connections.
 */

import { Code, ConnectError } from "@connectrpc/connect";
import type { Exchange } from "./exchange.js";

const FREE_BYTES = 16 * 1024;

export const CROWDED = "too many request bytes are under way; try again later";
export const crowded = (): ConnectError => new ConnectError(CROWDED, Code.ResourceExhausted);

/** What one request holds of the room, given back when it is answered. */
export interface BodyShare {
  /** False where there is no room for so many bytes more. */
  take(bytes: number): boolean;
}

export class BodyRoom {
  #held = 0;

  constructor(readonly limit: number) {}

  get held(): number {
    return this.#held;
  }

  shareOf(exchange: Pick<Exchange, "onClose">): BodyShare {
    let size = 0;
    let held = 0;
    return {
      take: (bytes) => {
        size += bytes;
        const more = size - FREE_BYTES - held;
        if (more <= 0) return true;
        if (this.#held + more > this.limit) return false;
        if (held === 0) exchange.onClose(() => (this.#held -= held));
        held += more;
        this.#held += more;
        return true;
      },
    };
  }
}

/** The body, as long as there is room for it. Throws `resource_exhausted`. */
export async function* within(share: BodyShare, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    if (!share.take(chunk.byteLength)) throw crowded();
    yield chunk;
  }
}
