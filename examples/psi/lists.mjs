/** Lists of small whole numbers, sent piece by piece as 32-bit words, lowest byte first. */

import { Failure } from "./failure.mjs";

/** @import { Exchange } from "./exchange.mjs" */

const WORDS_PER_PIECE = 16_384;
/** No list is longer. */
export const MAX_WORDS = 20_000_000;

/**
 * Declares, before `meet`, a list that the partner will send.
 * @param {Exchange} exchange
 * @param {string} kind
 * @returns {Promise<Uint32Array>} the whole list
 */
export function incomingList(exchange, kind) {
  return new Promise((resolve) => {
    /** @type {number[]} */
    const words = [];
    exchange.answer(kind, (piece, last) => {
      if (piece.length % 4 !== 0 || words.length + piece.length / 4 > MAX_WORDS) {
        throw new Failure(`the partner sent a broken list of ${kind}`);
      }
      for (let at = 0; at < piece.length; at += 4) words.push(piece.readUInt32LE(at));
      if (last) resolve(Uint32Array.from(words));
      return new Uint8Array();
    });
  });
}

/**
 * @param {Exchange} exchange
 * @param {string} kind
 * @param {Uint32Array} words
 */
export async function sendList(exchange, kind, words) {
  for (let n = 0, from = 0; n === 0 || from < words.length; n++, from += WORDS_PER_PIECE) {
    const part = words.subarray(from, from + WORDS_PER_PIECE);
    const piece = Buffer.alloc(part.length * 4);
    part.forEach((word, index) => piece.writeUInt32LE(word, index * 4));
    await exchange.send(kind, n, piece, from + part.length >= words.length);
  }
}
