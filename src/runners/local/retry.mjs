// Trying again what failed only for want of open files, memory or processes. Plain JavaScript, since the supervisor
// uses it too.

import { setTimeout as delay } from "node:timers/promises";

const SHORTAGES = new Set(["EMFILE", "ENFILE", "ENOMEM", "EAGAIN"]);
/** Milliseconds before each further try, 5 s in all. */
const PAUSES = [10, 40, 150, 300, 500, 1000, 1000, 2000];

/**
 * Whether the machine was short of something, so that the error says nothing about what was asked for.
 * @param {unknown} error
 */
export function isShortage(error) {
  return error instanceof Error && "code" in error && SHORTAGES.has(String(error.code));
}

/**
 * Does the work, again and again for about 5 s while the machine is short of something. Rejects with what the work
 * rejects with.
 * @template T
 * @param {() => T | Promise<T>} work May be done several times.
 * @returns {Promise<T>}
 */
export async function retrying(work) {
  for (const pause of PAUSES) {
    try {
      return await work();
    } catch (error) {
      if (!isShortage(error)) throw error;
    }
    await delay(pause);
  }
  return work();
}
