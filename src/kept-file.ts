/**
 * A file that is read again where it has changed, so that credentials and certificates rotate without a restart. It is
 * looked at when its content is asked for, at most once a second. A new content that is broken is reported once, and the
 * old one stays in force.
 */

import { readFileSync, statSync } from "node:fs";

export interface KeptFileOptions<T> {
  /** Throws where the content is broken. */
  readonly parse: (text: string) => T;
  readonly now: () => number;
  /** The file has changed and cannot be used. */
  readonly onFault: (error: unknown) => void;
  readonly onChange: (content: T) => void;
}

const LOOK_EVERY_MS = 1000;

export class KeptFile<T> {
  readonly #path: string;
  readonly #options: KeptFileOptions<T>;
  #content: T;
  #seen: string;
  #lookedAt: number;

  /** Throws where the file cannot be read or is broken. */
  constructor(path: string, options: KeptFileOptions<T>) {
    this.#path = path;
    this.#options = options;
    // The stamp comes first: a change between the two makes the next look read again.
    this.#seen = stampOf(path);
    this.#content = options.parse(readFileSync(path, "utf8"));
    this.#lookedAt = options.now();
  }

  get content(): T {
    const now = this.#options.now();
    if (Math.abs(now - this.#lookedAt) >= LOOK_EVERY_MS) {
      this.#lookedAt = now;
      this.#look();
    }
    return this.#content;
  }

  #look(): void {
    const stamp = stampOf(this.#path);
    if (stamp === this.#seen) return;
    this.#seen = stamp;
    try {
      this.#content = this.#options.parse(readFileSync(this.#path, "utf8"));
    } catch (error) {
      this.#options.onFault(error);
      return;
    }
    this.#options.onChange(this.#content);
  }
}

/** Differs whenever the file was written, replaced or taken away. */
function stampOf(path: string): string {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats ? `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}` : "absent";
}
