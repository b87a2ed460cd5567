/** How an attempt ended, in the words that people read. */

import type { AttemptEnd } from "../../runner.js";
import type { ExitFile } from "./launch.js";

const MESSAGE_BYTES = 1024;

/** The end that the supervisor wrote down. */
export function endOf(exit: ExitFile): AttemptEnd {
  if (exit.error !== null) return notStarted(exit.error);
  const { exitCode, signal } = exit;
  if (exitCode === 0) return { outcome: "Succeeded", reason: "None", exitCode, signal, message: "" };
  const refused = /^setpriv: failed to execute [^\n]*: ([^\n:]+)\s*$/.exec(exit.stderrTail)?.[1];
  if (refused !== undefined && (exitCode === 126 || exitCode === 127)) {
    return notStarted(`the command cannot be executed: ${refused}`);
  }
  const words = lastLines(exit.stderrTail);
  return { outcome: "Failed", reason: "AppFailed", exitCode, signal, message: failure(exitCode, signal, words) };
}

function failure(exitCode: number | null, signal: string | null, words: string): string {
  if (signal !== null) return `the app was ended by ${signal}${words === "" ? "" : `; its last words: ${words}`}`;
  if (words === "") return `the app exited with code ${exitCode} and wrote nothing to stderr`;
  return `${words} (exit code ${exitCode})`;
}

/** The end of an attempt whose app could not be started. */
export function notStarted(message: string): AttemptEnd {
  const scrubbed = scrub(message);
  return { outcome: "Failed", reason: "AppNotStarted", exitCode: null, signal: null, message: scrubbed };
}

/** The end of an attempt of which nobody knows how it ended. */
export function lost(why: string): AttemptEnd {
  const message = `the process ended unseen: ${why}`;
  return { outcome: "Lost", reason: "AttemptLost", exitCode: null, signal: null, message };
}

/** The last non-empty lines that fit in 1 KiB, joined by `; `; of a longer last line its start. */
function lastLines(text: string): string {
  const lines = text.split(/[\r\n]+/).map(scrub).filter((line) => line !== "");
  const last = lines.pop() ?? "";
  if (Buffer.byteLength(last) > MESSAGE_BYTES) return `${scrub(startOf(last))} ...`;
  let words = last;
  for (let line = lines.pop(); line !== undefined; line = lines.pop()) {
    const longer = `${line}; ${words}`;
    if (Buffer.byteLength(longer) > MESSAGE_BYTES) break;
    words = longer;
  }
  return words;
}

function startOf(line: string): string {
  // A character that the cut goes through becomes U+FFFD, so it is dropped.
  return Buffer.from(line).subarray(0, MESSAGE_BYTES - 4).toString("utf8").replace(/\uFFFD+$/, "");
}

/** Without colour codes, control characters (U+0000 too) and lone surrogates, which databases and terminals refuse. */
function scrub(text: string): string {
  // oxlint-disable-next-line no-control-regex -- the escape character is what is looked for
  return text.replace(/\u001B\[[0-9;?]*[A-Za-z]/g, "").replace(/[\p{Cc}\p{Cs}]/gu, " ").trim();
}
