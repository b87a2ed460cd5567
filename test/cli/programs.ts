/** The scripts of package.json and the command line as real processes, each in a group of its own as in a terminal. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Program {
  readonly pid: number;
  /** All that it has written so far. */
  text(): string;
  /** Resolves once it has written this; rejects where it ends before. */
  written(pattern: RegExp): Promise<void>;
  /** Signals it alone, or its whole group, as Ctrl-C in a terminal does. */
  signal(signal: NodeJS.Signals, to?: "process" | "group"): void;
  /** Its exit code, null where a signal ended it. Waits for all that hold its output too. */
  readonly ended: Promise<number | null>;
}

export function runProgram(command: string, args: readonly string[]): Program {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("MUSTER_") && name !== "DATABASE_URL");
  const env = Object.fromEntries(kept);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true, env });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
  }
  const ended = once(child, "close").then(([code]: (number | null)[]) => code ?? null);
  // A process that was spawned has a pid.
  const pid = child.pid ?? -1;
  return {
    pid,
    text: () => text,
    async written(pattern) {
      const gone = ended.then(() => "gone");
      while (!pattern.test(text)) {
        const next = await Promise.race([once(child.stdout, "data"), once(child.stderr, "data"), gone]);
        if (next === "gone") throw new Error(`it ended without writing ${pattern}:\n${text}`);
      }
    },
    signal: (signal, to = "process") => void process.kill(to === "group" ? -pid : pid, signal),
    ended,
  };
}

/** A new folder that the users of Postgres and of the apps can pass through. */
export async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "muster-cli-"));
  await chmod(folder, 0o711);
  return folder;
}

/** Command lines of the processes that have the folder in their command line or in their environment. */
export async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const [line, environment] = await Promise.all(
      ["cmdline", "environ"].map((file) => readFile(`/proc/${pid}/${file}`, "latin1").catch(() => "")),
    );
    if (line?.includes(folder) || environment?.includes(folder)) found.push(`${pid} ${line?.replaceAll("\0", " ")}`);
  }
  return found;
}
