/** `muster serve` as a process of its own, from dist/ as users run it, on a free port. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { devNull, tmpdir } from "node:os";
import { join, resolve } from "node:path";

export interface ServerProcessOptions {
  /**
   * Kept, so that another server can start on it; as root, its parents must be searchable by all. Left out = a new
   * folder, which goes with the server.
   */
  readonly dataDirectory?: string;
  /** Further arguments of `muster serve`; paths are relative to the working directory of the test run. */
  readonly args?: readonly string[];
  /** Flags of Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Left out = the server starts an embedded Postgres under its data directory, which takes a second. */
  readonly databaseUrl?: string;
}

export interface ServerProcess {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  readonly pid: number;
  readonly dataDirectory: string;
  /** All that it has written so far: JSON lines on stdout, complaints on stderr. */
  logs(): string;
  /** Asks it to end (SIGTERM) and waits. Its exit code, null where a signal ended it. May be repeated. */
  stop(): Promise<number | null>;
  /** Ends it with SIGKILL and waits. The apps that it started live on, and an embedded Postgres too. */
  kill9(): Promise<void>;
}

const PROGRAM = resolve("dist/src/cli/muster.js");
/** A developer's muster.yaml is not for this server. The last of two flags counts, so `args` may name another file. */
const NO_SETTINGS_FILE = ["--config", devNull];
const START_LIMIT_MS = 60_000;

/** Resolves once the server serves. Rejects with what it wrote where it ends before that. */
export async function startServerProcess(options: ServerProcessOptions = {}): Promise<ServerProcess> {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: npm run build`);
  const ownFolder = options.dataDirectory === undefined ? await makeFolder() : undefined;
  const dataDirectory = options.dataDirectory ?? join(ownFolder ?? "", "data");
  const database = options.databaseUrl === undefined ? [] : ["--database-url", options.databaseUrl];
  const args = [...NO_SETTINGS_FILE, "--data", dataDirectory, "--listen", "127.0.0.1:0", ...database];
  const child = spawn(process.execPath, [...(options.nodeArgs ?? []), PROGRAM, "serve", ...args, ...(options.args ?? [])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: environmentWithoutSettings(),
  });
  const ended = once(child, "close").then(async ([code]: (number | null)[]) => {
    if (ownFolder !== undefined) await rm(ownFolder, { recursive: true, force: true, maxRetries: 5 });
    return code ?? null;
  });
  const log = collect(child);
  const limit = setTimeout(() => child.kill("SIGKILL"), START_LIMIT_MS);
  const url = await Promise.race([log.listening, ended.then(() => undefined)]);
  clearTimeout(limit);
  if (url === undefined) throw new Error(`the server ended before it served. It wrote:\n${log.text()}`);
  return {
    url,
    // A process that writes has a pid.
    pid: child.pid ?? -1,
    dataDirectory,
    logs: log.text,
    stop() {
      child.kill("SIGTERM");
      return ended;
    },
    async kill9() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** As root, Postgres and the apps are other users, who must be able to pass through. */
async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "muster-server-"));
  await chmod(folder, 0o711);
  return folder;
}

/** Nor is what the developer's shell says. */
function environmentWithoutSettings(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("MUSTER_") && name !== "DATABASE_URL");
  return Object.fromEntries(kept);
}

/** Keeps what the process writes; `listening` resolves with the address in the first log line that has one. */
function collect({ stdout, stderr }: ChildProcess): { text: () => string; listening: Promise<string> } {
  let text = "";
  const listening = new Promise<string>((found) => {
    const onText = (chunk: string): void => {
      text += chunk;
      const address = /^\{.*"listen":"([^"]+)"/m.exec(text)?.[1];
      if (address !== undefined) found(address);
    };
    for (const stream of [stdout, stderr]) stream?.setEncoding("utf8").on("data", onText);
  });
  return { text: () => text, listening };
}
