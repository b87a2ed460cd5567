/**
 * Watching the supervisor of one attempt: one that this server started (it is a child, so its end is an event), or one
 * of an earlier server (its folder is watched, and its pid looked at once a second).
 */

import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, watch } from "node:fs";
import { join } from "node:path";
import { readExit, readState, SUPERVISOR_PROGRAM, type ExitFile } from "./launch.js";
import { isAlive, signalSame, type ProcessIdentity } from "./processes.mjs";

/** Each is called at most once, `started` before `ended`; neither after `detach`. */
export interface SupervisionEvents {
  started(): void;
  /** Null where the supervisor is gone and has left no word of how the app ended. */
  ended(exit: ExitFile | null): void;
}

export interface Supervision {
  /** Asks the supervisor to end the app. */
  stop(): Promise<void>;
  /** Ends a supervisor that does not heed `stop`; the app is left to be found. */
  kill(): Promise<void>;
  /** Ends watching; the supervisor goes on. */
  detach(): void;
}

/**
 * Starts the supervisor for the launch in `folder`. Resolves when the app was started or has ended; rejects where not
 * even the supervisor could be started.
 */
export async function superviseNew(folder: string, events: SupervisionEvents): Promise<Supervision> {
  const child = spawnSupervisor(folder);
  let detached = false;
  const settled = new Promise<void>((resolve, reject) => {
    child.on("error", (error) => {
      if (child.pid === undefined) reject(error);
    });
    child.stdout?.once("data", () => {
      if (!detached) events.started();
      resolve();
    });
    // `close` and not `exit`: the line that says `started` is read by then.
    const tellEnd = async (): Promise<void> => {
      // What cannot be read for so long is as good as not there: the end must come.
      const exit = await readExit(folder).catch(() => null);
      if (!detached) events.ended(exit);
      resolve();
    };
    child.once("close", () => void tellEnd());
  });
  await settled;
  return {
    stop: async () => void child.kill("SIGTERM"),
    kill: async () => void child.kill("SIGKILL"),
    detach: () => {
      detached = true;
      child.stdout?.destroy();
      child.unref();
    },
  };
}

function spawnSupervisor(folder: string): ChildProcess {
  // What the supervisor itself has to say when it breaks.
  const errors = openSync(join(folder, "supervisor.err"), "a", 0o600);
  try {
    return spawn(process.execPath, [SUPERVISOR_PROGRAM, folder], {
      cwd: folder,
      env: {},
      detached: true,
      stdio: ["ignore", "pipe", errors],
    });
  } finally {
    closeSync(errors);
  }
}

const POLL_MS = 1000;

/**
 * Watches on over a supervisor that an earlier server started. Resolves when what is there now has been reported: that
 * the app was started, or also that it has ended.
 */
export async function superviseAdopted(
  folder: string,
  supervisor: ProcessIdentity,
  events: SupervisionEvents,
): Promise<Supervision> {
  let detached = false;
  let started = false;
  const detach = (): void => {
    detached = true;
    clearInterval(timer);
    watcher?.close();
  };
  const readAll = async () => {
    // In this order: a supervisor that is seen dead has written before whatever it was going to write.
    const alive = await isAlive(supervisor);
    const [state, exit] = await Promise.all([readState(folder), readExit(folder)]);
    return { alive, state, exit };
  };
  const look = async (): Promise<void> => {
    const seen = await readAll().catch(() => null);
    // What cannot be read for now is looked at again within a second.
    if (detached || seen === null) return;
    const { alive, state, exit } = seen;
    if (!started && state !== null) {
      started = true;
      events.started();
    }
    if (exit === null && alive) return;
    detach();
    events.ended(exit);
  };
  // A look that overlaps another does no harm: the first that sees the end detaches.
  const timer = setInterval(() => void look(), POLL_MS);
  const watcher = watchFolder(folder, () => void look());
  await look();
  return {
    stop: async () => void (await signalSame(supervisor, "SIGTERM")),
    kill: async () => void (await signalSame(supervisor, "SIGKILL")),
    detach,
  };
}

/** Undefined where the system has no watches left; the poll does then. */
function watchFolder(folder: string, changed: () => void): { close(): void } | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, changed);
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
