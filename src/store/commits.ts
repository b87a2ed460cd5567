/** The commits of this process: told on in the order of their revisions, and known again by them. */

import type { Commit } from "./changes.js";

/** Commits whose notification may still come. */
const REMEMBERED = 1_000;

export class Commits {
  readonly #tellOn: (commit: Commit) => void;
  /** By their last revisions. */
  readonly #known = new Set<bigint>();
  readonly #untold: Commit[] = [];
  #told = 0n;

  constructor(tellOn: (commit: Commit) => void) {
    this.#tellOn = tellOn;
  }

  /** Whether the revision is the last one of a commit of ours. */
  has(revision: bigint): boolean {
    return this.#known.has(revision);
  }

  /**
   * `beside`: the saves that are under way now. They may have got lower revisions, so they are waited for, unless this
   * commit is the very next.
   */
  add(commit: Commit, beside: readonly Promise<unknown>[]): void {
    this.#known.add(commit.last);
    const [oldest] = this.#known;
    if (this.#known.size > REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    this.#untold.push(commit);
    this.#untold.sort((one, other) => (one.first < other.first ? -1 : 1));
    this.#tell(beside.length === 0 ? commit.last : 0n);
    if (beside.length > 0) void Promise.allSettled(beside).then(() => this.#tell(commit.last));
  }

  #tell(upTo: bigint): void {
    for (let next = this.#untold[0]; next; next = this.#untold[0]) {
      if (next.last > upTo && next.first !== this.#told + 1n) return;
      this.#untold.shift();
      this.#told = next.last;
      this.#tellOn(next);
    }
  }
}
