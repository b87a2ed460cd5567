// The bounded log of an attempt. Plain JavaScript, since the supervisor writes it.
//
// It is a folder of segments; a segment's name is the offset of its first byte in the whole output, e.g. `0.log`. The
// first segment holds the start (half of the limit) and is kept; after it at most two segments hold the end (a quarter
// each), the older one is removed when a third is due. So the folder never grows over the limit, a reader needs no
// index, and a hole between two segments says by itself how much was dropped.

import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

export class BoundedLog {
  #folder;
  #headLimit;
  #tailLimit;
  /** Bytes of output so far, dropped ones included. */
  #offset = 0;
  /** @type {{ file: number, path: string, size: number } | null} */
  #current = null;
  /** @type {string[]} Paths of the segments after the first. */
  #tail = [];

  /**
   * @param {string} folder Is made.
   * @param {number} limitBytes
   */
  constructor(folder, limitBytes) {
    this.#folder = folder;
    this.#headLimit = Math.max(1, Math.floor(limitBytes / 2));
    this.#tailLimit = Math.max(1, Math.floor(limitBytes / 4));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /**
   * Appends. What cannot be written, e.g. since the disk is full, is dropped: an app must not hang on its log.
   * @param {Buffer} chunk
   */
  write(chunk) {
    for (let rest = chunk; rest.length > 0; ) {
      let taken = Math.min(rest.length, this.#tailLimit);
      try {
        const segment = this.#writable();
        taken = writeSync(segment.file, rest, 0, Math.min(rest.length, this.#limitOf(segment) - segment.size));
        segment.size += taken;
      } catch {
        this.close();
      }
      this.#offset += taken;
      rest = rest.subarray(taken);
    }
  }

  close() {
    if (this.#current !== null) closeSync(this.#current.file);
    this.#current = null;
  }

  /** @param {{ path: string }} segment */
  #limitOf(segment) {
    return this.#tail.includes(segment.path) ? this.#tailLimit : this.#headLimit;
  }

  #writable() {
    if (this.#current !== null && this.#current.size < this.#limitOf(this.#current)) return this.#current;
    this.close();
    const path = join(this.#folder, `${this.#offset}.log`);
    if (this.#offset > 0) this.#tail.push(path);
    for (const old of this.#tail.splice(0, this.#tail.length - 2)) rmSync(old, { force: true });
    this.#current = { file: openSync(path, "w", 0o600), path, size: 0 };
    return this.#current;
  }
}

/**
 * Reads the last `tailBytes` bytes of a log that may still be written. Null where there is none.
 * @param {string} folder
 * @param {number} tailBytes
 * @returns {Promise<{ text: string, truncated: boolean } | null>}
 */
export async function readBoundedLog(folder, tailBytes) {
  for (let tries = 5; ; tries--) {
    const names = await readdir(folder).catch(() => null);
    if (names === null) return null;
    const offsets = names.map((name) => Number(/^(\d+)\.log$/.exec(name)?.[1] ?? Number.NaN)).filter(Number.isFinite);
    try {
      return await readSegments(folder, offsets.sort((a, b) => b - a), tailBytes);
    } catch (error) {
      // A segment was dropped between listing and opening.
      if (tries === 0) throw error;
    }
  }
}

/** @param {string} folder @param {number[]} offsets Latest first. @param {number} tailBytes */
async function readSegments(folder, offsets, tailBytes) {
  /** @type {Buffer[]} */
  const parts = [];
  let wanted = tailBytes;
  let laterStart = /** @type {number | null} */ (null);
  let truncated = false;
  for (const offset of offsets) {
    const { size, content } = await readEnd(join(folder, `${offset}.log`), wanted);
    const dropped = laterStart === null ? 0 : laterStart - (offset + size);
    laterStart = offset;
    if (dropped > 0 || content.length < size) truncated = true;
    if (dropped > 0 && wanted > 0) parts.unshift(Buffer.from(`\n[${dropped} bytes of output are not kept]\n`));
    parts.unshift(withoutCutCharacter(content, content.length < size));
    wanted -= content.length;
  }
  if (laterStart !== null && laterStart > 0) truncated = true;
  return { text: Buffer.concat(parts).toString("utf8").replaceAll("\0", "\uFFFD"), truncated };
}

/** @param {string} path @param {number} wanted */
async function readEnd(path, wanted) {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const length = Math.max(0, Math.min(size, wanted));
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return { size, content: buffer.subarray(0, bytesRead) };
  } finally {
    await file.close();
  }
}

/** Drops the rest of a UTF-8 character whose first byte was cut off. @param {Buffer} content @param {boolean} isCut */
function withoutCutCharacter(content, isCut) {
  if (!isCut) return content;
  let start = 0;
  while (start < 3 && ((content[start] ?? 0) & 0b1100_0000) === 0b1000_0000) start++;
  return content.subarray(start);
}
