/**
 * Images as they were read last, so that a job can be made without asking. A save compares them with what they are by then,
 * and creates that lost by that are made again on what is read.
 */

import type { Loaded, ResolvedImage } from "./slices.js";

/** The image that was read longest ago goes first. */
const MOST_IMAGES = 64;

export class KeptImages {
  readonly #images = new Map<string, ResolvedImage>();

  /** Undefined where one of them is not known. */
  all(names: readonly string[]): readonly (readonly [string, ResolvedImage])[] | undefined {
    const found: (readonly [string, ResolvedImage])[] = [];
    for (const name of names) {
      const image = this.#images.get(name);
      if (!image) return undefined;
      found.push([name, image]);
    }
    return found;
  }

  /** Those that were asked for and are not among the loaded ones are gone. */
  keep(asked: readonly string[], { images }: Pick<Loaded, "images">): void {
    for (const name of asked) {
      this.#images.delete(name);
      const image = images.get(name);
      if (image) this.#images.set(name, image);
    }
    for (const name of this.#images.keys()) {
      if (this.#images.size <= MOST_IMAGES) break;
      this.#images.delete(name);
    }
  }
}
