/** Ports of this machine that instances hold; no port is held twice. */

import { createServer } from "node:net";

export class PortPool {
  readonly #first: number;
  readonly #count: number;
  readonly #held = new Set<number>();
  #next: number;

  /** Both ends of the range are in it. Throws where the range is empty or not one of ports. */
  constructor(range: readonly [number, number]) {
    const [first, last] = range;
    if (!(Number.isInteger(first) && Number.isInteger(last) && first >= 1 && first <= last && last <= 65535)) {
      throw new Error(`${first}-${last} is not a range of ports`);
    }
    this.#first = first;
    this.#count = last - first + 1;
    // Two servers on one machine rarely meet, since each starts somewhere else.
    this.#next = Math.floor(Math.random() * this.#count);
  }

  /** Holds so many free ports, or none and says null. */
  async take(wanted: number): Promise<readonly number[] | null> {
    const taken: number[] = [];
    const start = this.#next;
    for (let step = 0; taken.length < wanted && step < this.#count; step++) {
      const port = this.#first + ((start + step) % this.#count);
      if (this.#held.has(port)) continue;
      // Held before it is tested, so that nobody else tests it meanwhile.
      this.#held.add(port);
      this.#next = (start + step + 1) % this.#count;
      if (await isFree(port)) taken.push(port);
      else this.#held.delete(port);
    }
    if (taken.length === wanted) return taken;
    this.release(taken);
    return null;
  }

  /** Holds ports that are in use by an attempt of an earlier server. */
  hold(ports: readonly number[]): void {
    for (const port of ports) this.#held.add(port);
  }

  release(ports: readonly number[]): void {
    for (const port of ports) this.#held.delete(port);
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}
