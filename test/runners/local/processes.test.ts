/** A server with few open files: run as a program of its own, since a limit cannot be given back. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { SUPERVISOR_PROGRAM, type ExitFile, type LaunchFile } from "../../../src/runners/local/launch.js";

const PROCESSES = new URL("../../../src/runners/local/processes.mjs", import.meta.url).href;

/** Runs node with a limit of open files; what it wrote to stdout and stderr. */
async function nodeWithOpenFiles(limit: number, args: readonly string[]): Promise<string> {
  const script = `ulimit -n ${limit} && exec "$0" "$@"`;
  const stdio: ["ignore", "pipe", "pipe"] = ["ignore", "pipe", "pipe"];
  const child = spawn("/bin/sh", ["-c", script, process.execPath, ...args], { stdio });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (chunk) => (text += chunk));
  await once(child, "close");
  return text;
}

describe.skipIf(process.platform !== "linux")("looking for the processes of an attempt", () => {
  it("finds them for many at once with few open files", async () => {
    const program = `
      import { spawn } from "node:child_process";
      import { once } from "node:events";
      import { killMembers, membersOf } from ${JSON.stringify(PROCESSES)};
      const env = { MUSTER_ATTEMPT: "of-this-test" };
      const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { env, stdio: "ignore" });
      process.on("exit", () => child.kill("SIGKILL"));
      const mark = { attemptUid: "of-this-test", leader: null, trackingGroup: null };
      const found = await Promise.all(Array.from({ length: 300 }, () => membersOf(mark)));
      console.log(found.filter((one) => one.length === 1 && one[0].pid === child.pid).length);
      const ended = once(child, "exit");
      console.log(JSON.stringify(await killMembers(mark)));
      console.log((await ended)[1]);`;
    const text = await nodeWithOpenFiles(48, ["--input-type=module", "-e", program]);
    expect(text.split("\n")).toEqual(["300", "[]", "SIGKILL", ""]);
  });
});

describe.skipIf(process.platform !== "linux")("a supervisor that is short of open files", () => {
  it("says that the app cannot be started, and never ends without a word", async () => {
    const folder = await mkdtemp(join(tmpdir(), "muster-supervisor-"));
    try {
      const launch: LaunchFile = {
        attemptUid: "of-this-test",
        command: "app",
        file: process.execPath,
        args: ["-e", ""],
        workingFolder: folder,
        environment: {},
        spawnAs: null,
        user: null,
        trackingGroup: null,
        graceMs: 100,
        logLimitBytes: 1000,
        held: { ports: [], cpuMilli: 0, memoryBytes: 0 },
      };
      await writeFile(join(folder, "launch.json"), JSON.stringify(launch));
      // How many files node itself has open differs between machines: the first limit that lets it begin is too small
      // for the pipes of an app.
      let limit = 17;
      let exit: ExitFile | null = null;
      for (; exit === null && limit < 64; limit++) {
        await nodeWithOpenFiles(limit, [SUPERVISOR_PROGRAM, folder]);
        const text = await readFile(join(folder, "exit.json"), "utf8").catch(() => "null");
        // The supervisor wrote it.
        exit = JSON.parse(text) as ExitFile | null;
      }
      expect(exit?.error).toBe(
        'command "app" cannot be started: the machine is out of processes, memory or open files (EMFILE)',
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
