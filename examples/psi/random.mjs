/**
 * Two ways to shuffle: one nobody can predict, and one that everybody can repeat.
 * The repeatable one is xoshiro128** 1.1 by Blackman and Vigna, its four 32-bit words of state filled with the first
 * two outputs of SplitMix64 (low half first) started at the seed; both are in the public domain and widely implemented.
 */

import { randomInt } from "node:crypto";

/**
 * Fisher and Yates' shuffle of 0 .. n-1.
 * @param {number} n
 * @param {(bound: number) => number} below a random whole number from 0 to bound-1
 * @returns {Uint32Array}
 */
export function shuffledIndices(n, below) {
  const indices = Uint32Array.from({ length: n }, (_, index) => index);
  for (let last = n - 1; last > 0; last--) {
    const chosen = below(last + 1);
    const moved = indices[last] ?? 0;
    indices[last] = indices[chosen] ?? 0;
    indices[chosen] = moved;
  }
  return indices;
}

/**
 * Unpredictable.
 * @param {number} bound
 */
export function secretBelow(bound) {
  return randomInt(bound);
}

/** A repeatable stream of random numbers: the same seed gives the same numbers on every machine. */
export class SeededRandom {
  #state;

  /** @param {Uint32Array} state four words, not all zero */
  constructor(state) {
    this.#state = state.slice();
  }

  /** @param {bigint} seed taken modulo 2^64 */
  static fromSeed(seed) {
    const filling = [splitMix64(seed), splitMix64(seed + GOLDEN)];
    return new SeededRandom(Uint32Array.from(filling.flatMap((z) => [Number(z & 0xffffffffn), Number(z >> 32n)])));
  }

  /** 32 random bits. */
  next() {
    const state = this.#state;
    const [a = 0, b = 0, c = 0, d = 0] = state;
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const e = c ^ a;
    const f = d ^ b;
    state[0] = a ^ f;
    state[1] = b ^ e;
    state[2] = e ^ (b << 9);
    state[3] = rotate(f, 11);
    return result;
  }

  /**
   * Every value equally likely: numbers of the last, incomplete stretch are drawn again.
   * @param {number} bound 1 to 2^32
   */
  below(bound) {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let drawn = this.next();
    while (drawn >= limit) drawn = this.next();
    return drawn % bound;
  }
}

const GOLDEN = 0x9e3779b97f4a7c15n;

/**
 * The output of SplitMix64 whose state was `state` before.
 * @param {bigint} state
 */
export function splitMix64(state) {
  let z = BigInt.asUintN(64, state + GOLDEN);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}

/**
 * @param {number} word
 * @param {number} bits
 */
function rotate(word, bits) {
  return (word << bits) | (word >>> (32 - bits));
}
