/** Logs of attempts, read from their folders: any process of this machine that may read them can. */

import { join } from "node:path";
import type { Runner } from "../../runner.js";
import { readBoundedLog } from "./bounded-log.mjs";
import { attemptFolder, foldersOf } from "./folders.js";

export function localLogs(dataDirectory: string): Pick<Runner, "readLog"> {
  return logsIn(foldersOf(dataDirectory).attempts);
}

/** Of the attempts that have their folders in this one. */
export function logsIn(attempts: string): Pick<Runner, "readLog"> {
  return {
    readLog: (attempt, tailBytes) => readBoundedLog(join(attemptFolder(attempts, attempt.jobUid, attempt.uid), "log"), tailBytes),
  };
}
