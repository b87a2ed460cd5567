/**
 * Where everything of the runner lies on disk:
 *
 *   runner-id                                 who this runner is
 *   domain-users.json                         the user number of each domain
 *   domains/<domain>/data                     the domain's own data, only its user can enter
 *   attempts/<jobUid>/<attemptUid>/           launch.json, state.json, exit.json, log/: only the server's user
 *                                 root/       the app's world: `/work` of an image is `root/work`
 *                                 task-input-config
 *
 * All folders above those of a domain can be passed through and not listed. An app's files are written before it runs,
 * in folders that only the server can enter until they are handed over, so no link of an app can lead a write astray.
 */

import { execFile } from "node:child_process";
import { chmod, chown, lchown, mkdir, readdir, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, posix } from "node:path";
import { promisify } from "node:util";
import { validate as isUid } from "uuid";
import type { DomainUser } from "./users.js";

const PASS_THROUGH = 0o711;
const PRIVATE = 0o700;

/** Makes the folders that all domains share. */
export function foldersOf(dataDirectory: string): { readonly domains: string; readonly attempts: string } {
  return { domains: join(dataDirectory, "domains"), attempts: join(dataDirectory, "attempts") };
}

export async function makeFolders(dataDirectory: string): Promise<ReturnType<typeof foldersOf>> {
  const folders = foldersOf(dataDirectory);
  await mkdir(dataDirectory, { recursive: true, mode: PASS_THROUGH });
  for (const folder of Object.values(folders)) await makePassThrough(folder);
  return folders;
}

async function makePassThrough(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, PASS_THROUGH);
}

/** Names come validated; should one not be, it still is a single name and none that means another folder. */
export function asFolderName(name: string): string {
  return encodeURIComponent(name).replace(/^\./, "%2E");
}

/**
 * The jobs or attempts that have a folder in this one; none where it is not there. Whatever else lies in it
 * (`lost+found`, `.DS_Store`, what somebody left there) is not ours and is passed over.
 */
export async function uidsIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory() && isUid(entry.name)).map(({ name }) => name);
}

/** Makes the data folder of a domain, or finds it. Its path. */
export async function makeDomainData(domains: string, domain: string, user: DomainUser | null): Promise<string> {
  const own = join(domains, asFolderName(domain));
  await makePassThrough(own);
  const data = join(own, "data");
  await mkdir(data, { recursive: true, mode: PRIVATE });
  if (user !== null) await chown(data, user.uid, user.gid);
  await chmod(data, PRIVATE);
  return data;
}

/**
 * Makes a configured data folder where it is not there yet. One that is there is the operator's and keeps its owner.
 * False where that is not `user`.
 */
export async function makeConfiguredData(folder: string, user: DomainUser | null): Promise<boolean> {
  await mkdir(dirname(folder), { recursive: true });
  const made = await mkdir(folder, { recursive: true, mode: PRIVATE });
  if (user === null) return true;
  if (made !== undefined) await chown(folder, user.uid, user.gid);
  return (await stat(folder)).uid === user.uid;
}

/** Makes the folder of a new attempt; throws where there is one already. Its path. */
export async function makeAttempt(attempts: string, jobUid: string, attemptUid: string): Promise<string> {
  const job = join(attempts, asFolderName(jobUid));
  await makePassThrough(job);
  const folder = join(job, asFolderName(attemptUid));
  await mkdir(folder);
  await chmod(folder, PASS_THROUGH);
  return folder;
}

export function attemptFolder(attempts: string, jobUid: string, attemptUid: string): string {
  return join(attempts, asFolderName(jobUid), asFolderName(attemptUid));
}

export function appRoot(attempt: string): string {
  return join(attempt, "root");
}

/** Where a path of an image lies for the app: `/app/a` is `root/app/a`; no path leads out of `root`. */
export function rebase(attempt: string, workingDir: string, path: string): string {
  return join(appRoot(attempt), posix.resolve("/", workingDir, path));
}

export interface AppFiles {
  readonly folders: readonly string[];
  /** Content by absolute path. */
  readonly files: ReadonlyMap<string, string>;
  /** The task's input, beside the app's root. */
  readonly input: string;
}

export function inputFile(attempt: string): string {
  return join(attempt, "task-input-config");
}

/** Writes what an app finds when it starts, and hands it over to the app's user. */
export async function writeAppFiles(attempt: string, content: AppFiles, user: DomainUser | null): Promise<void> {
  const root = appRoot(attempt);
  await mkdir(root, { mode: PRIVATE });
  for (const folder of content.folders) await mkdir(folder, { recursive: true, mode: PRIVATE });
  for (const [path, text] of content.files) {
    await mkdir(dirname(path), { recursive: true, mode: PRIVATE });
    await writeFile(path, text, { mode: 0o600, flag: "wx" });
  }
  await writeFile(inputFile(attempt), content.input, { mode: 0o400, flag: "wx" });
  if (user === null) return;
  await chown(inputFile(attempt), user.uid, user.gid);
  await handOver(root, user);
}

/** Bottom up: the outermost folder changes hands last, so nobody else can reach inside before all is done. */
async function handOver(folder: string, user: DomainUser): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await handOver(path, user);
    else await lchown(path, user.uid, user.gid);
  }
  await lchown(folder, user.uid, user.gid);
}

/**
 * Removes the folder of an attempt. What the app's user owns is removed as that user: another process of it could swap
 * folders for links meanwhile, and must not make root delete what lies behind them.
 */
export async function removeAttempt(folder: string, user: DomainUser | null): Promise<void> {
  if (user !== null) {
    // `root` itself lies in a folder of the server, so this ends with an error even when all inside is gone.
    const asUser = { cwd: "/", env: { PATH: "/usr/bin:/bin" }, ...user };
    await promisify(execFile)("rm", ["-rf", "--", appRoot(folder)], asUser).catch(() => undefined);
    await rmdir(appRoot(folder)).catch((error: unknown) => {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    });
  }
  await rm(folder, { recursive: true, force: true });
}
