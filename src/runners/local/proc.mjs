// What /proc tells of the machine's processes. Plain JavaScript, since the supervisor uses it too.
//
// Looking through /proc costs time for every process of the machine, and many attempts may want it at once. So a scan
// reads one small file per process, one after the other; more is read only of those that a caller asks about; and who
// asks for a scan while one runs shares the next. A file that cannot be read since the machine is short of something is
// an error and never taken for a process that is gone.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setImmediate as breathe } from "node:timers/promises";
import { isShortage } from "./retry.mjs";

/** Whether this system has a /proc at all. */
export const hasProc = existsSync("/proc/self/stat");
const boot = hasProc ? readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8) : "";

/** A process as one scan saw it. */
export class Process {
  #environment = /** @type {string | Promise<string> | undefined} */ (undefined);
  #commandLine = /** @type {Promise<string> | undefined} */ (undefined);
  #groups = /** @type {Set<string> | undefined} */ (undefined);

  /** @param {number} pid @param {string} stat */
  constructor(pid, stat) {
    // proc_pid_stat(5): the name stands in parentheses and may hold any character; field 3 is the state, 22 the start.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    this.pid = pid;
    this.hasEnded = fields[0] === "Z" || fields[0] === "X";
    this.parent = Number(fields[1]);
    this.group = Number(fields[2]);
    this.session = Number(fields[3]);
    this.start = `${boot}.${fields[19]}`;
  }

  /**
   * The environment that it was started with; empty where one is not allowed to read it.
   * @param {boolean} canWait The caller has nothing else to do, should the file keep it waiting.
   * @returns {string | Promise<string>}
   */
  environment(canWait) {
    const path = `/proc/${this.pid}/environ`;
    return (this.#environment ??= canWait ? (readNow(path) ?? "") : readInTurn(path));
  }

  /** Each argument ends with a NUL. */
  commandLine() {
    return (this.#commandLine ??= readInTurn(`/proc/${this.pid}/cmdline`));
  }

  /** Its further groups; anybody may read them. */
  groups() {
    const status = () => readNow(`/proc/${this.pid}/status`) ?? "";
    return (this.#groups ??= new Set((/^Groups:\s*(.*)$/m.exec(status())?.[1] ?? "").split(/\s+/)));
  }
}

/** @param {unknown} error @returns {null} */
function nullUnlessShort(error) {
  if (isShortage(error)) throw error;
  return null;
}

/**
 * For the files that never keep a reader waiting, or a reader that can wait: many times cheaper than a promise.
 * @param {string} path
 */
function readNow(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return nullUnlessShort(error);
  }
}

let lastTurn = /** @type {Promise<string | null>} */ (Promise.resolve(null));

/**
 * For the files that may keep a reader waiting while the process waits for its memory. One at a time, however many ask.
 * @param {string} path
 * @returns {Promise<string>}
 */
async function readInTurn(path) {
  const turn = lastTurn.then(() => readFile(path, "utf8").catch(nullUnlessShort));
  lastTurn = turn.catch(() => null);
  return (await turn) ?? "";
}

/**
 * The process that is there now, if any; it may have ended and not been waited for. Throws where the machine is short.
 * @param {number} pid
 * @returns {Process | null}
 */
export function readProcess(pid) {
  const stat = readNow(`/proc/${pid}/stat`);
  return stat === null ? null : new Process(pid, stat);
}

/**
 * A process that is known to be there; throws where it is not.
 * @param {number} pid
 */
export function processNow(pid) {
  return new Process(pid, readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** After how many processes a scan lets others have their turn. */
const SCAN_PIECE = 64;

/** @returns {Promise<Process[]>} */
async function scan() {
  const living = [];
  const pids = hasProc ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number) : [];
  for (const [index, pid] of pids.entries()) {
    if (index % SCAN_PIECE === SCAN_PIECE - 1) await breathe();
    if (pid === process.pid || pid === 1) continue;
    const found = readProcess(pid);
    if (found !== null && !found.hasEnded) living.push(found);
  }
  return living;
}

let scanUnderWay = /** @type {Promise<unknown>} */ (Promise.resolve());
let nextScan = /** @type {Promise<Process[]> | null} */ (null);

/**
 * What a scan finds that begins after this was called. The one that is under way may have passed what the caller looks
 * for, so the caller shares the next one with all who come meanwhile.
 * @returns {Promise<Process[]>}
 */
export function livingProcesses() {
  nextScan ??= scanUnderWay.then(() => {
    nextScan = null;
    const begun = scan();
    scanUnderWay = begun.catch(() => undefined);
    return begun;
  });
  return nextScan;
}

