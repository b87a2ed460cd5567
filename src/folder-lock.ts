/**
 * A lock that one process holds on a folder, and that survives kill -9 in the right way: the mark a dead process
 * leaves behind counts for nothing.
 *
 * The lock is a folder of marks. A mark is an empty file whose name says who made it: the pid and the time that process
 * started, so that a later process with the same pid is not taken for its maker. Whoever wants the lock leaves its mark
 * first and looks round second; it holds the lock when it then sees no other living mark. Of two that come at the same
 * moment at least one sees the other, so there are never two holders. Nobody ever removes the mark of a living process,
 * so clearing away stale marks cannot hurt a holder.
 *
 * All contenders must see each other's pids: two containers that share only the folder cannot tell.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A held lock. */
export interface FolderLock {
  /** Gives the lock up. Calling it again does nothing. */
  release(): Promise<void>;
}

/** Thrown when another living process holds the lock. */
export class FolderLockedError extends Error {
  override readonly name = "FolderLockedError";
  constructor(
    readonly folder: string,
    /** The process that holds the lock; may be the caller's own. */
    readonly pid: number,
  ) {
    super(`${folder} is in use by process ${pid}. Stop that process first, or choose another folder.`);
  }
}

const attempts = 8;

/**
 * Takes the lock on `folder`. The marks live in the sibling `<folder>.lock`; `folder` itself need not exist.
 * Waits about 150 ms at most, then throws FolderLockedError.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const marks = `${folder}.lock`;
  const own = `${process.pid}@${(await startOf(process.pid)) ?? "unknown"}`;
  const ownMark = join(marks, own);
  await mkdir(marks, { recursive: true });

  let marked = false;
  for (let attempt = 1; ; attempt++) {
    const rival = await firstLivingMark(marks, own);
    if (rival === undefined) {
      if (marked) return { release: () => rm(ownMark, { force: true }) };
      await leaveMark(ownMark, folder);
      marked = true;
      continue;
    }
    const last = attempt >= attempts;
    // Of several that contend, the one whose mark sorts first stays and the others step back, so that one gets it.
    if (marked && (last || rival < own)) {
      await rm(ownMark, { force: true });
      marked = false;
    }
    if (last) throw new FolderLockedError(folder, Number.parseInt(rival, 10));
    await delay(5 + Math.random() * 25);
  }
}

async function leaveMark(mark: string, folder: string): Promise<void> {
  try {
    await writeFile(mark, "", { flag: "wx" });
  } catch (error) {
    if (errorCode(error) === "EEXIST") throw new FolderLockedError(folder, process.pid);
    throw error;
  }
}

async function firstLivingMark(marks: string, own: string): Promise<string | undefined> {
  for (const mark of (await readdir(marks)).sort()) {
    if (mark === own) continue;
    if (await isMakerAlive(mark)) return mark;
    // A mark that cannot be removed is still stale, so failing here changes nothing.
    await rm(join(marks, mark), { force: true }).catch(() => undefined);
  }
  return undefined;
}

async function isMakerAlive(mark: string): Promise<boolean> {
  const [, digits, start] = /^(\d+)@(.+)$/.exec(mark) ?? [];
  if (digits === undefined) return false;
  const pid = Number(digits);
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM means that the process is there and belongs to someone else.
    if (errorCode(error) === "ESRCH") return false;
  }
  const startNow = await startOf(pid);
  return startNow === undefined || start === "unknown" || startNow === start;
}

/**
 * What tells a process from any other that ever had its pid: the machine's boot and the clock tick since then.
 * "ended" for a process that has ended and waits to be reaped; undefined where there is no /proc to tell.
 */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    // proc_pid_stat(5): the name stands in parentheses and may hold any character; field 3 is the state, 22 the start.
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return "ended";
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    return `${boot.slice(0, 8)}.${fields[19]}`;
  } catch {
    return undefined;
  }
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
