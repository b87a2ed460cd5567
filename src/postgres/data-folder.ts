/** The data folder of the embedded Postgres: made whole or not at all, and checked before it is used. */
import { existsSync } from "node:fs";
import { chown, mkdir, mkdtemp, open, readdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { runOrFail, type Programs, type SystemUser } from "./programs.js";

/** Absolute path without symbolic links, so that one folder has one name; makes the parent. */
export async function realLocation(folder: string): Promise<string> {
  const parent = dirname(resolve(folder));
  await mkdir(parent, { recursive: true });
  const location = join(await realpath(parent), basename(resolve(folder)));
  return realpath(location).catch(() => location);
}

/** The text of a file, undefined when it is not there. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Makes the data folder, with the user and the database `muster`, or checks the one that is there.
 * Throws when it holds something else or data of another major version.
 */
export async function prepareDataFolder(
  folder: string,
  options: {
    readonly programs: Programs;
    readonly user: SystemUser | undefined;
    readonly durable: boolean;
    readonly log: (line: string) => void;
  },
): Promise<void> {
  const { programs, user, durable, log } = options;
  const program = await runOrFail(programs.postgres, ["-V"], { user });
  const major = /\(PostgreSQL\) (\d+)/.exec(program)?.[1];
  const found = (await readIfThere(join(folder, "PG_VERSION")))?.trim();
  await removeHalfMade(folder, log);
  if (found === undefined) {
    const content = existsSync(folder) ? await readdir(folder) : [];
    if (content.length > 0) {
      throw new Error(`${folder} is neither empty nor a Postgres data folder. Choose another folder.`);
    }
    log(`making a Postgres ${major} data folder in ${folder}`);
    return make(folder, programs, user, durable);
  }
  if (found !== major) {
    throw new Error(
      `${folder} holds data of Postgres ${found}, and the embedded Postgres is ${major}. ` +
        `Move the data with pg_dump and pg_restore of Postgres ${found}, or choose another folder.`,
    );
  }
  await handOver(folder, user, log);
}

/** The name has a random part: an initdb that outlived its caller may still be writing to an older one. */
const draftSuffix = ".new-";

async function make(
  folder: string,
  programs: Programs,
  user: SystemUser | undefined,
  durable: boolean,
): Promise<void> {
  const draft = await mkdtemp(folder + draftSuffix);
  try {
    if (user !== undefined) await chown(draft, user.uid, user.gid);
    // The builtin locale needs nothing of the operating system and sorts the same everywhere.
    const locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
    const access = ["--username=muster", "--auth-local=trust", "--auth-host=reject"];
    const speed = durable ? [] : ["--no-sync"];
    await runOrFail(programs.initdb, ["-D", draft, ...locale, ...access, ...speed, "--no-instructions"], { user });
    await runOrFail(programs.postgres, ["--single", "-D", draft, "-c", "exit_on_error=on", "postgres"], {
      user,
      input: "CREATE DATABASE muster\n",
    });
    await rename(draft, folder);
    if (durable) await syncFolder(dirname(folder));
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

/** Makes a rename in the folder outlive a loss of power. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function removeHalfMade(folder: string, log: (line: string) => void): Promise<void> {
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(basename(folder) + draftSuffix)) continue;
    const path = join(dirname(folder), name);
    log(`removing ${path}, left half-made by an earlier run`);
    await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch((error: unknown) => {
      log(`cannot remove ${path}: ${String(error)}`);
    });
  }
}

/** Throws when an ordinary user, who cannot change that, finds the folder in the hands of another. */
export async function checkOwner(folder: string): Promise<void> {
  if (!existsSync(folder) || process.getuid?.() === 0) return;
  const { uid } = await stat(folder);
  if (uid === process.getuid?.()) return;
  throw new Error(
    `${folder} belongs to another user (uid ${uid}). ` +
      `Start as that user (as root, if it is "postgres"), or hand the folder over with chown -R.`,
  );
}

async function handOver(folder: string, user: SystemUser | undefined, log: (line: string) => void): Promise<void> {
  if (user === undefined || (await stat(folder)).uid === user.uid) return;
  log(`giving ${folder} to the system user "postgres"`);
  await runOrFail("chown", ["-R", `${user.uid}:${user.gid}`, folder]);
}
