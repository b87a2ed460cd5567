/**
 * The first half of the intersection: both parties come to hold the twice blinded points of both tables' keys, and from
 * them the same numbering of the keys that they share. See psi.mjs for the protocol.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { Blinder, hashToPoints, POINT_BYTES } from "./curve.mjs";
import { Failure } from "./failure.mjs";
import { secretBelow, shuffledIndices } from "./random.mjs";

/** @import { Exchange } from "./exchange.mjs" */

/** Per request: 64 KB of points, about half a second of work. */
const KEYS_PER_PIECE = 2000;
/** The partner may not send more. */
const MAX_KEYS = 10_000_000;
const KIND = "points";

/**
 * @typedef {object} SharedKeys
 * @property {Int32Array} handles for each own key its number among the shared keys, the same at both parties, or -1
 * @property {number} size how many keys are shared
 * @property {number} partnerKeys how many distinct keys the partner has
 */

export class PointExchange {
  #exchange;
  #blinder = new Blinder();
  /**
   * Twice blinded points of the partner's keys.
   * @type {Set<string>}
   */
  #theirs = new Set();
  #received = 0;
  /** @type {Promise<void>} */
  #allReceived;

  /** @param {Exchange} exchange before it has met the partner */
  constructor(exchange) {
    this.#exchange = exchange;
    this.#allReceived = new Promise((resolve) => {
      exchange.answer(KIND, (piece, last) => {
        const products = this.#blinder.blind(piece);
        for (const product of pointNames(products)) this.#theirs.add(product);
        this.#received += products.length / POINT_BYTES;
        if (this.#received > MAX_KEYS) throw new Failure(`the partner sent more than ${MAX_KEYS} keys`);
        if (this.#theirs.size < this.#received) throw new Failure("the partner sent a key twice");
        if (last) resolve();
        return products;
      });
    });
  }

  /**
   * @param {readonly string[]} keys byte strings, all different
   * @param {(share: number) => void} progress told the share of own keys that are done
   * @returns {Promise<SharedKeys>}
   */
  async share(keys, progress) {
    const own = await this.#productsOf(keys, progress);
    await this.#exchange.until(this.#allReceived);
    return { ...numberShared(own, this.#theirs), partnerKeys: this.#theirs.size };
  }

  /**
   * Prepares one piece while the partner works on the one before.
   * @param {readonly string[]} keys
   * @param {(share: number) => void} progress
   * @returns {Promise<string[]>} the twice blinded point of each key
   */
  async #productsOf(keys, progress) {
    /** @type {string[]} */
    const products = Array.from({ length: keys.length }, () => "");
    const sequence = shuffledIndices(keys.length, secretBelow);
    let answered = Promise.resolve();
    for (let n = 0, from = 0; n === 0 || from < keys.length; n++, from += KEYS_PER_PIECE) {
      const places = sequence.subarray(from, from + KEYS_PER_PIECE);
      const bytes = [...places].map((place) => Buffer.from(keys[place] ?? "", "latin1"));
      const piece = this.#blinder.blind(hashToPoints(bytes));
      await answered;
      const done = from + places.length;
      const answer = this.#exchange.send(KIND, n, piece, done >= keys.length);
      const takeIn = async () => {
        const names = pointNames(await answer);
        if (names.length !== places.length) throw new Failure("the partner answered a wrong number of curve points");
        places.forEach((place, index) => (products[place] = names[index] ?? ""));
        progress(done / Math.max(1, keys.length));
      };
      answered = takeIn();
      answered.catch(() => {}); // It is awaited in the next round.
      await nextTurn(); // Lets the partner's requests in.
    }
    await answered;
    return products;
  }
}

/**
 * @param {Buffer} points
 * @returns {string[]}
 */
function pointNames(points) {
  return Array.from({ length: points.length / POINT_BYTES }, (_, index) =>
    points.toString("latin1", index * POINT_BYTES, (index + 1) * POINT_BYTES),
  );
}

/**
 * @param {readonly string[]} own
 * @param {ReadonlySet<string>} theirs
 */
function numberShared(own, theirs) {
  const shared = own.filter((product) => theirs.has(product)).sort();
  const numbers = new Map(shared.map((product, number) => [product, number]));
  return { handles: Int32Array.from(own, (product) => numbers.get(product) ?? -1), size: shared.length };
}
