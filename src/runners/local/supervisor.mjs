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
import { setTimeout as delay } from "node:timers/promises";
import { BoundedLog } from "./bounded-log.mjs";
import { identify, killMembers, membersOf, send } from "./processes.mjs";
import { isShortage, retrying } from "./retry.mjs";

const STDERR_TAIL_BYTES = 4096;
/** How long output may still come after every known process has ended; only an unknown one can hold the pipe then. */
const DRAIN_MS = 1000;
/** Most apps end at once when told to, and there is nobody left to look for then. */
const PROMPT_MS = 100;

const folder = process.argv[2] ?? "";
/** @type {import("./launch.js").LaunchFile} */
const launch = JSON.parse(readFileSync(join(folder, "launch.json"), "utf8"));
const log = new BoundedLog(join(folder, "log"), launch.logLimitBytes);
/** @type {import("./processes.mjs").AttemptMark} */
const mark = { attemptUid: launch.attemptUid, leader: null, trackingGroup: launch.trackingGroup, canWait: true };
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

/** On stderr, which is a file in the attempt's folder. @param {unknown} error */
function complain(error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return undefined;
}

/** @param {unknown} error @returns {never} */
function notStarted(error) {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const command = JSON.stringify(launch.command);
  if (code === "ENOENT") finish({ error: `command ${command} not found` });
  if (code === "E2BIG") {
    finish({ error: "the command line and environment together are larger than the operating system allows" });
  }
  if (isShortage(error)) {
    const shortage = `the machine is out of processes, memory or open files (${String(code)})`;
    finish({ error: `command ${command} cannot be started: ${shortage}` });
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
// Without open files for pipes there are none, and the error comes later.
app.stdout?.on("data", (/** @type {Buffer} */ chunk) => log.write(chunk));
app.stderr?.on("data", (/** @type {Buffer} */ chunk) => {
  log.write(chunk);
  stderrTail = Buffer.concat([stderrTail, chunk]).subarray(-STDERR_TAIL_BYTES);
});

if (app.pid !== undefined) {
  mark.leader = identify(app.pid);
  const group = -app.pid;
  let hasEnded = false;
  const closed = new Promise((resolve) => app.once("close", resolve));
  /** @param {number | null} exitCode @param {NodeJS.Signals | null} signal */
  const conclude = async (exitCode, signal) => {
    hasEnded = true;
    send(group, "SIGKILL");
    // Not even a machine that lets nobody look for processes must keep the end from being told.
    const left = await killMembers({ ...mark, justEnded: true }).catch(complain);
    if (left !== undefined && left.length > 0) complain(`processes that cannot be ended: ${left.join(", ")}`);
    setTimeout(() => finish({ exitCode, signal }), DRAIN_MS);
    await closed;
    finish({ exitCode, signal });
  };
  const ended = new Promise((resolve) => app.once("exit", resolve));
  app.once("exit", (exitCode, signal) => void conclude(exitCode, signal));

  // To some programs a second TERM means to drop everything: the group is told first, then those outside of it.
  const tell = async () => {
    const look = async () => (await retrying(() => membersOf(mark)).catch(complain)) ?? [];
    // Without a group id of its own, a process that has left everything else is known only by its parent, while that
    // lives. So it is looked for before anybody is told.
    let members = mark.trackingGroup === null ? await look() : null;
    mark.known = members ?? [];
    if (hasEnded) return;
    send(group, "SIGTERM");
    if (members === null) {
      await Promise.race([ended, delay(PROMPT_MS)]);
      if (hasEnded) return;
      members = await look();
      mark.known = members;
    }
    for (const { pid, inGroup } of members) if (!inGroup) send(pid, "SIGTERM");
  };
  let stopping = false;
  const stop = () => {
    if (stopping || hasEnded) return;
    stopping = true;
    // The app is always in its group, and what has left that is ended once the app has.
    setTimeout(() => {
      if (!hasEnded) send(group, "SIGKILL");
    }, launch.graceMs);
    void tell();
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);

  writeAtOnce("state.json", { supervisor: identify(process.pid), app: mark.leader });
  try {
    writeSync(1, "started\n");
  } catch {
    // The server has ended; the next one reads state.json.
  }
}
