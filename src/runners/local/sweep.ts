/** Removing the folders of attempts whose jobs are gone. */

import { rmdir } from "node:fs/promises";
import { join } from "node:path";
import { asFolderName, removeAttempt, uidsIn } from "./folders.js";
import { findSupervisor, markOf, readExit, readLaunch } from "./launch.js";
import { isAlive, membersOf } from "./processes.mjs";
import { retrying } from "./retry.mjs";
import type { RunnerLog } from "./runner-log.js";

/** How many jobs are asked about at once. */
const BATCH = 500;

/**
 * Removes every attempt folder of jobs that `present` does not answer with. An attempt that `isOpen` or of which a
 * process may still live keeps its folder for the next sweep.
 */
export async function sweepAttempts(options: {
  readonly attempts: string;
  readonly present: (jobUids: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly isOpen: (attemptUid: string) => boolean;
  readonly log: RunnerLog;
}): Promise<void> {
  const { attempts, present, isOpen, log } = options;
  const jobs = await uidsIn(attempts);
  for (let start = 0; start < jobs.length; start += BATCH) {
    const batch = jobs.slice(start, start + BATCH);
    // Asked after the folders were listed: a job that is made meanwhile has no folder in the list.
    const there = await present(batch);
    for (const job of batch) if (!there.has(job)) await sweepJob(join(attempts, asFolderName(job)), isOpen, log);
  }
}

async function sweepJob(job: string, isOpen: (attemptUid: string) => boolean, log: RunnerLog): Promise<void> {
  for (const uid of await uidsIn(job)) {
    const folder = join(job, asFolderName(uid));
    if (isOpen(uid) || (await livesStill(folder, uid))) continue;
    const launch = await readLaunch(folder);
    await removeAttempt(folder, launch?.user ?? null).catch((error: unknown) => {
      log.warn({ err: error, folder }, "the folder of an attempt could not be removed");
    });
  }
  // Not empty where an attempt was kept.
  await rmdir(job).catch(() => undefined);
}

/** The supervisor writes its exit when no process of the attempt is left. */
async function livesStill(folder: string, uid: string): Promise<boolean> {
  if ((await readExit(folder)) !== null) return false;
  const supervisor = await findSupervisor(folder);
  if (supervisor !== null && (await isAlive(supervisor))) return true;
  const mark = await markOf(folder, uid);
  return (await retrying(() => membersOf(mark))).length > 0;
}
