import { setTimeout as delay } from "node:timers/promises";
import { request } from "./http.mjs";

const RETRY_MS = 200;
/** So often in a row the line may fail to open before the partner counts as gone. */
const MAX_MISSES = 5;

/**
 * Holds a line to the partner: a request that it answers but never ends. When the line breaks, and cannot be opened
 * again, the partner's process is gone. A gateway may cut a line; then the next one opens at once.
 * @param {string} endpoint
 * @param {string} session own session
 * @param {AbortSignal} enough ends the watch
 * @returns {Promise<void>} when the partner is gone or enough has been watched
 */
export async function holdLine(endpoint, session, enough) {
  for (let misses = 0; misses < MAX_MISSES && !enough.aborted;) {
    misses = (await oneLine(endpoint, session, enough)) ? 0 : misses + 1;
    await delay(RETRY_MS, undefined, { signal: enough }).catch(() => {});
  }
}

/**
 * @param {string} endpoint
 * @param {string} session
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} after the line has ended: whether it had been open
 */
function oneLine(endpoint, session, signal) {
  return new Promise((resolve) => {
    let open = false;
    const line = request(endpoint, "/psi/line", { method: "GET", session, signal });
    line.on("response", (response) => {
      open = response.statusCode === 200;
      response.resume().on("error", () => {});
    });
    line.on("error", () => {});
    line.on("close", () => resolve(open));
  });
}
