/**
 * Finds and stops the Postgres that an earlier owner of a data folder left running when it was killed.
 *
 * Its processes are known by their cluster_name, which holds the folder's device and inode and shows in the command
 * line of each (their working folder would tell as well, but root in a container may not read that). The caller holds
 * the lock on the folder, so whatever runs there has no owner.
 */
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { readIfThere } from "./data-folder.js";
import { run } from "./programs.js";

/** The name of the Postgres on a data folder: no other folder of this machine has it. */
export async function clusterNameOf(dataFolder: string): Promise<string> {
  const { dev, ino } = await stat(dataFolder, { bigint: true });
  return `muster-${dev.toString(36)}-${ino.toString(36)}`;
}

/** What Postgres writes to `postmaster.pid` in its data folder; undefined when there is no such file. */
export async function readPidFile(
  dataFolder: string,
): Promise<{ readonly pid: number; readonly socketFolder: string; readonly ready: boolean } | undefined> {
  const lines = (await readIfThere(join(dataFolder, "postmaster.pid")))?.split("\n");
  if (lines === undefined) return undefined;
  // Postgres' pidfile.h: line 1 is the pid, 5 the socket's folder, 8 the state, padded with blanks.
  return { pid: Number(lines[0]), socketFolder: lines[4] ?? "", ready: lines[7]?.trim() === "ready" };
}

/** Postgres ends its own sessions at SIGINT and writes everything out; at SIGQUIT it recovers at the next start. */
const steps = [
  { signal: "SIGINT", waitMs: 60_000 },
  { signal: "SIGQUIT", waitMs: 10_000 },
  { signal: "SIGKILL", waitMs: 10_000 },
] as const;

/**
 * Stops what runs on the data folder, and clears away the traces that would keep a new Postgres from starting.
 * `isSocketFolder` says whether a path is one that the launcher makes, and so may be removed.
 */
export async function stopLeftBehind(
  dataFolder: string,
  isSocketFolder: (path: string) => boolean,
  log: (line: string) => void,
): Promise<void> {
  const clusterName = await clusterNameOf(dataFolder);
  const pidFile = await readPidFile(dataFolder);
  for (const { signal, waitMs } of steps) {
    const left = await processesOf(clusterName);
    if (left.length === 0) break;
    const main = left.filter((pid) => pid === pidFile?.pid);
    // Without the main process the others must not begin an orderly shutdown, each on its own.
    if (main.length === 0 && signal === "SIGINT") continue;
    const targets = main.length > 0 && signal !== "SIGKILL" ? main : left;
    log(`stopping Postgres (process ${targets.join(", ")}), left behind on ${dataFolder} by an earlier run: ${signal}`);
    for (const pid of targets) send(signal, pid);
    await waitUntilGone(clusterName, waitMs);
  }
  const stubborn = await processesOf(clusterName);
  if (stubborn.length > 0) throw new Error(`Postgres on ${dataFolder} does not end: process ${stubborn.join(", ")}`);
  if (pidFile === undefined) return;
  // Postgres takes any living process of its user with this pid for itself and refuses to start. When another program
  // has the pid now, the file is stale. That of a dead process stays: Postgres judges it better (shared memory).
  const holder = (await commandLines()).get(pidFile.pid);
  const stale = holder !== undefined && !holder.includes("postgres");
  if (stale) await rm(join(dataFolder, "postmaster.pid"), { force: true });
  if (isSocketFolder(pidFile.socketFolder)) await rm(pidFile.socketFolder, { recursive: true, force: true });
}

async function waitUntilGone(clusterName: string, waitMs: number): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (performance.now() < deadline && (await processesOf(clusterName)).length > 0) await delay(25);
}

function send(signal: NodeJS.Signals, pid: number): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function processesOf(clusterName: string): Promise<number[]> {
  const own = [...(await commandLines())].filter(
    ([, line]) => line.startsWith(`postgres: ${clusterName}: `) || line.includes(`cluster_name=${clusterName} `),
  );
  return own.map(([pid]) => pid);
}

/** All processes with their command lines, words parted by blanks; a process that waits to be reaped has none. */
async function commandLines(): Promise<Map<number, string>> {
  const lines = new Map<number, string>();
  const pids = await readdir("/proc").catch(() => undefined);
  if (pids === undefined) {
    for (const line of (await run("ps", ["-axww", "-o", "pid=,args="])).output.split("\n")) {
      const [, pid, args] = /^\s*(\d+) (.*)$/.exec(line) ?? [];
      if (pid !== undefined && args !== undefined) lines.set(Number(pid), `${args} `);
    }
    return lines;
  }
  for (const pid of pids.filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    lines.set(Number(pid), `${line.replaceAll("\0", " ")} `);
  }
  return lines;
}
