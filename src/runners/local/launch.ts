/**
 * The files by which server and supervisor speak: `launch.json` (what to run), `state.json` (who runs it) and
 * `exit.json` (how it ended). They are read back by a later server, so they are checked when read: a file that is cut
 * or of another shape counts as not there. Reading rejects only where the machine stays short of something for seconds.
 */

import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { findByArguments, type AttemptMark, type ProcessIdentity } from "./processes.mjs";
import { isShortage, retrying } from "./retry.mjs";

const identitySchema = z.object({ pid: z.number().int().positive(), start: z.string().nullable() });

const launchSchema = z.object({
  attemptUid: z.string(),
  /** The command as the image gives it, for messages. */
  command: z.string(),
  /** What is executed: absolute path and arguments, the means that confine it included. */
  file: z.string(),
  args: z.array(z.string()),
  workingFolder: z.string(),
  environment: z.record(z.string(), z.string()),
  /** Set where the operating system's call itself changes the user. */
  spawnAs: z.object({ uid: z.number(), gid: z.number() }).nullable(),
  /** The user that owns the app's folder, null for the server's own. */
  user: z.object({ uid: z.number(), gid: z.number() }).nullable(),
  /** A group id that only the processes of this attempt have. */
  trackingGroup: z.number().nullable(),
  graceMs: z.number(),
  logLimitBytes: z.number(),
  /** What the attempt holds of this runner's room. */
  held: z.object({ ports: z.array(z.number()), cpuMilli: z.number(), memoryBytes: z.number() }),
});
export type LaunchFile = z.infer<typeof launchSchema>;

const stateSchema = z.object({ supervisor: identitySchema, app: identitySchema });
export type StateFile = z.infer<typeof stateSchema>;

const exitSchema = z.object({
  exitCode: z.number().nullable(),
  signal: z.string().nullable(),
  stderrTail: z.string(),
  /** Milliseconds since the epoch. */
  endedAt: z.number(),
  /** Why the app could not be started, null where it was. */
  error: z.string().nullable(),
});
export type ExitFile = z.infer<typeof exitSchema>;

async function read<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T | null> {
  const text = await retrying(() => readFile(join(folder, name), "utf8")).catch((error: unknown) => {
    if (isShortage(error)) throw error;
    return null;
  });
  if (text === null) return null;
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

export const readLaunch = (folder: string): Promise<LaunchFile | null> => read(folder, "launch.json", launchSchema);
export const readState = (folder: string): Promise<StateFile | null> => read(folder, "state.json", stateSchema);
export const readExit = (folder: string): Promise<ExitFile | null> => read(folder, "exit.json", exitSchema);

/** Writes the launch of an attempt; only the server's user may read it, since it holds the task's input. */
export async function writeLaunch(folder: string, launch: LaunchFile): Promise<void> {
  await write(folder, "launch.json", launch);
}

/** Notes that an attempt never came to run, so that a later server says so too. */
export async function writeNotStarted(folder: string, error: string): Promise<void> {
  const exit: ExitFile = { exitCode: null, signal: null, stderrTail: "", endedAt: Date.now(), error };
  await write(folder, "exit.json", exit);
}

async function write(folder: string, name: string, value: LaunchFile | ExitFile): Promise<void> {
  const aside = join(folder, `${name}.new`);
  await writeFile(aside, JSON.stringify(value), { mode: 0o600 });
  await rename(aside, join(folder, name));
}

/** The program that supervises one attempt, beside this file in the sources and in what is built from them. */
export const SUPERVISOR_PROGRAM = fileURLToPath(new URL("./supervisor.mjs", import.meta.url));

/** The supervisor of an attempt, if it lives; also one that has not yet said who it is. */
export async function findSupervisor(folder: string): Promise<ProcessIdentity | null> {
  return (await readState(folder))?.supervisor ?? retrying(() => findByArguments([SUPERVISOR_PROGRAM, folder]));
}

/** By what the processes of an attempt are known, as far as its folder tells. */
export async function markOf(folder: string, attemptUid: string): Promise<AttemptMark> {
  const [launch, state] = await Promise.all([readLaunch(folder), readState(folder)]);
  return { attemptUid, leader: state?.app ?? null, trackingGroup: launch?.trackingGroup ?? null };
}
