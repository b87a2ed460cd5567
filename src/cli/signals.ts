/** Being asked to end: what the commands that serve, or have something to put away, do about signals. */

import { constants } from "node:os";

export type EndSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** One Ctrl-C arrives twice where npm is between: from the terminal, and from npm. */
const ECHO_MS = 1_000;

/**
 * Resolves with the first of the signals; from the call on they no longer end the process. Those that follow within a
 * second are taken for the same wish. One that comes later ends the process at once.
 */
export function askedToEnd(signals: readonly EndSignal[]): Promise<EndSignal> {
  return new Promise((resolve) => {
    let firstAt: number | undefined;
    const heard = (signal: EndSignal): void => {
      if (firstAt === undefined) {
        firstAt = performance.now();
        resolve(signal);
      } else if (performance.now() - firstAt > ECHO_MS) process.exit(exitCodeOf(signal));
    };
    for (const signal of signals) process.on(signal, () => heard(signal));
  });
}

/** As shells count it: 130 for SIGINT, 143 for SIGTERM. */
export function exitCodeOf(signal: EndSignal): number {
  return 128 + constants.signals[signal];
}
