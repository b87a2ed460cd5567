// The supervisor of one attempt: a small process of its own between the server and the app. It outlives the server, so
// the app's output and exit are not lost when the server ends. Run as `node supervisor.mjs <attempt folder>`.
//
// It reads `launch.json`, starts the app in a session of its own, keeps the log, and writes
//   state.json   once the app runs: who the supervisor and the app are (pid and start time)
//   exit.json    when the app has ended, its other processes are gone and its output is read to the end
// each at once (written aside and renamed). `started` on its own stdout says that state.json is there.
// SIGTERM ends the app: TERM to all its processes, KILL after the grace of the launch.

import { spawn } from "node:child_process";
import { readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { BoundedLog } from "./bounded-log.mjs";
import { identify, killMembers, membersOf, send } from "./processes.mjs";

const STDERR_TAIL_BYTES = 4096;
/** How long output may still come after every known process has ended; only an unknown one can hold the pipe then. */
const DRAIN_MS = 1000;

const folder = process.argv[2] ?? "";
/** @type {import("./launch.js").LaunchFile} */
const launch = JSON.parse(readFileSync(join(folder, "launch.json"), "utf8"));
const log = new BoundedLog(join(folder, "log"), launch.logLimitBytes);
/** @type {import("./processes.mjs").AttemptMark} */
const mark = { attemptUid: launch.attemptUid, leader: null, trackingGroup: launch.trackingGroup };
let stderrTail = Buffer.alloc(0);

/** @param {string} name @param {unknown} value */
function writeAtOnce(name, value) {
  writeFileSync(join(folder, `${name}.new`), JSON.stringify(value), { mode: 0o600 });
  renameSync(join(folder, `${name}.new`), join(folder, name));
}

/**
 * @param {{ exitCode?: number | null, signal?: string | null, error?: string }} end
 * @returns {never}
 */
function finish({ exitCode = null, signal = null, error }) {
  log.close();
  writeAtOnce("exit.json", {
    exitCode,
    signal,
    stderrTail: stderrTail.toString("utf8"),
    endedAt: Date.now(),
    error: error ?? null,
  });
  process.exit(0);
}

/** @param {unknown} error @returns {never} */
function notStarted(error) {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const command = JSON.stringify(launch.command);
  if (code === "ENOENT") finish({ error: `command ${command} not found` });
  if (code === "E2BIG") {
    finish({ error: "the command line and environment together are larger than the operating system allows" });
  }
  finish({ error: `command ${command} cannot be started: ${error instanceof Error ? error.message : String(error)}` });
}

function startApp() {
  try {
    return spawn(launch.file, launch.args, {
      cwd: launch.workingFolder,
      env: launch.environment,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      ...launch.spawnAs,
    });
  } catch (error) {
    return notStarted(error);
  }
}

process.on("SIGHUP", () => {});
const app = startApp();
app.on("error", (error) => {
  if (app.pid === undefined) notStarted(error);
});
app.stdout.on("data", (/** @type {Buffer} */ chunk) => log.write(chunk));
app.stderr.on("data", (/** @type {Buffer} */ chunk) => {
  log.write(chunk);
  stderrTail = Buffer.concat([stderrTail, chunk]).subarray(-STDERR_TAIL_BYTES);
});

if (app.pid !== undefined) {
  mark.leader = identify(app.pid);
  const group = -app.pid;
  const closed = new Promise((resolve) => app.once("close", resolve));
  /** @param {number | null} exitCode @param {NodeJS.Signals | null} signal */
  const conclude = async (exitCode, signal) => {
    send(group, "SIGKILL");
    await killMembers({ ...mark, justEnded: true });
    setTimeout(() => finish({ exitCode, signal }), DRAIN_MS);
    await closed;
    finish({ exitCode, signal });
  };
  app.once("exit", (exitCode, signal) => void conclude(exitCode, signal));

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => {
      send(group, "SIGKILL");
      void killMembers(mark);
    }, launch.graceMs);
    // One by one and not also by group: to some programs a second TERM means to drop everything.
    mark.known = await membersOf(mark);
    for (const { pid } of mark.known) send(pid, "SIGTERM");
  };
  process.on("SIGTERM", () => void stop());
  process.on("SIGINT", () => void stop());

  writeAtOnce("state.json", { supervisor: identify(process.pid), app: mark.leader });
  try {
    writeSync(1, "started\n");
  } catch {
    // The server has ended; the next one reads state.json.
  }
}
