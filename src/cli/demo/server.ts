/** The demo's server: `muster serve` as a process of its own, on a free port and a data directory that nobody else uses. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { packageFile } from "../package.js";

export interface DemoServer {
  readonly url: string;
  readonly logFile: string;
  /** A domain's own data folder. */
  domainFolder(domain: string): string;
  stop(): Promise<void>;
}

/** Tries the directory and then numbered neighbours, so that two demos at once do not meet. */
export async function startDemoServer(dataDirectory: string, appImages: string): Promise<DemoServer> {
  for (let n = 1; ; n += 1) {
    const data = resolve(n === 1 ? dataDirectory : `${dataDirectory}-${n}`);
    const started = await tryStart(data, appImages);
    if ("url" in started) return started;
    if (!started.inUse || n === 9) throw new Error(`the server did not start: ${started.reason}`);
  }
}

async function tryStart(data: string, appImages: string): Promise<DemoServer | { inUse: boolean; reason: string }> {
  await mkdir(data, { recursive: true, mode: 0o711 });
  const logFile = join(data, "server.log");
  const child = spawn(
    process.execPath,
    [packageFile("dist/src/cli/muster.js"), "serve", "--data", data, "--listen", "127.0.0.1:0", "--app-images", appImages],
    // In a group of its own, so that Ctrl-C in the terminal reaches the demo alone, which then says when it ends.
    { stdio: ["ignore", "pipe", "pipe"], env: serverEnvironment(), detached: true },
  );
  // Whatever ends the demo: its server is told, and drains by itself.
  const tell = (): void => void child.kill("SIGTERM");
  process.once("exit", tell);
  const log = createWriteStream(logFile);
  child.stdout.pipe(log, { end: false });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint += chunk.toString();
    log.write(chunk);
  });
  const exited = once(child, "exit").finally(() => process.off("exit", tell));
  const url = await Promise.race([listening(child), exited.then(() => undefined)]);
  if (url === undefined) return { inUse: /in use by|is held by|process \d+/.test(complaint), reason: complaint.trim() };
  return {
    url,
    logFile,
    domainFolder: (domain) => join(data, "domains", domain, "data"),
    async stop() {
      tell();
      await exited;
    },
  };
}

/** The demo brings its own settings; those of another server in the environment are not for it. */
function serverEnvironment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("MUSTER_") && name !== "DATABASE_URL");
  return Object.fromEntries(own);
}

/** Resolves with the address that the server logs once it serves. */
async function listening(child: ChildProcess): Promise<string | undefined> {
  if (!child.stdout) return undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry === "object" && entry !== null && "listen" in entry) return String(entry.listen);
    } catch {
      // Not a log line.
    }
  }
  return undefined;
}
