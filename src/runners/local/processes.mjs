// Processes of the operating system: who one is, whether it still lives, and which ones belong to an attempt.
// Plain JavaScript, since the supervisor uses it too and must start quickly.
//
// A pid alone says nothing after a while, since pids are used again. An identity is the pid with the time the process
// started. The processes of an attempt are found by what they cannot easily lose:
//   - the app's process group and session, as long as the app itself proves that the number is still its own;
//   - a variable in the environment they were started with, which survives setsid and a double fork;
//   - a group id of their own, where the runner could give one: it survives even a cleaned environment;
//   - and being a child of any of these.
// Where there is no /proc (not Linux) only the process group is known.

import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/**
 * @typedef {object} ProcessIdentity
 * @property {number} pid
 * @property {string | null} start The machine's boot and the clock tick since; null where there is no /proc to tell.
 */

/**
 * What the processes of an attempt have in common.
 * @typedef {object} AttemptMark
 * @property {string} attemptUid
 * @property {ProcessIdentity | null} leader The app itself, leader of its process group and session.
 * @property {number | null} trackingGroup The attempt's own group id.
 * @property {readonly ProcessIdentity[]} [known] Processes that were found before.
 * @property {boolean} [justEnded] The caller is the leader's parent and has this moment seen it end.
 */

/** @typedef {{ pid: number, state: string, parent: number, group: number, session: number, start: string }} Process */

/** Name of the variable by which the processes of an attempt are known. */
export const MARK_VARIABLE = "MUSTER_ATTEMPT";

const hasProc = existsSync("/proc/self/stat");
const boot = hasProc ? readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8) : "";

/** @param {number} pid @param {string} stat @returns {Process} */
function parseStat(pid, stat) {
  // proc_pid_stat(5): the name stands in parentheses and may hold any character; field 3 is the state, 22 the start.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return {
    pid,
    state: fields[0] ?? "X",
    parent: Number(fields[1]),
    group: Number(fields[2]),
    session: Number(fields[3]),
    start: `${boot}.${fields[19]}`,
  };
}

/** @param {number} pid @returns {Promise<Process | null>} */
async function readProcess(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  return stat === null ? null : parseStat(pid, stat);
}

/**
 * The identity of a process that is there, or of a child that has ended and was not waited for yet.
 * @param {number} pid
 * @returns {ProcessIdentity}
 */
export function identify(pid) {
  return { pid, start: hasProc ? parseStat(pid, readFileSync(`/proc/${pid}/stat`, "utf8")).start : null };
}

/** @param {Process} process */
function hasEnded(process) {
  return process.state === "Z" || process.state === "X";
}

/**
 * Whether the very process lives: not merely its pid, and not as a zombie.
 * @param {ProcessIdentity} identity
 * @returns {Promise<boolean>}
 */
export async function isAlive(identity) {
  if (!hasProc) return send(identity.pid, 0);
  const found = await readProcess(identity.pid);
  return found !== null && !hasEnded(found) && (identity.start === null || found.start === identity.start);
}

/**
 * Signals a process, or a group by its negative number. False where it is gone or not ours.
 * @param {number} pid
 * @param {NodeJS.Signals | 0} signal
 */
export function send(pid, signal) {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/**
 * Signals the very process; false where it is gone.
 * @param {ProcessIdentity} identity
 * @param {NodeJS.Signals} signal
 */
export async function signalSame(identity, signal) {
  return (await isAlive(identity)) && send(identity.pid, signal);
}

/** @returns {Promise<Process[]>} */
async function livingProcesses() {
  const names = hasProc ? await readdir("/proc") : [];
  const found = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map((name) => readProcess(Number(name))));
  const living = found.filter((one) => one !== null).filter((one) => !hasEnded(one));
  return living.filter(({ pid }) => pid !== process.pid && pid !== 1);
}

/**
 * The living processes of an attempt, the caller never among them.
 * @param {AttemptMark} mark
 * @returns {Promise<ProcessIdentity[]>}
 */
export async function membersOf(mark) {
  const { leader } = mark;
  if (!hasProc) return leader !== null && send(-leader.pid, 0) ? [{ pid: -leader.pid, start: null }] : [];
  const all = await livingProcesses();
  // The number of a group or session is given to nobody else while one of its processes lives. Some time after the
  // leader's end there is no telling whether it is still the same group.
  const isKnown = leader !== null && (mark.justEnded || (await readProcess(leader.pid))?.start === leader.start);
  const known = new Set(mark.known?.map((one) => `${one.pid}@${one.start}`));
  const found = new Set();
  await Promise.all(
    all.map(async (one) => {
      const inGroup = isKnown && (one.group === leader.pid || one.session === leader.pid);
      if (inGroup || known.has(`${one.pid}@${one.start}`) || (await isMarked(one.pid, mark))) found.add(one.pid);
    }),
  );
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const one of all) if (found.has(one.parent)) found.add(one.pid);
  }
  return all.filter((one) => found.has(one.pid)).map(({ pid, start }) => ({ pid, start }));
}

/** @param {number} pid @param {AttemptMark} mark */
async function isMarked(pid, mark) {
  // Of another user's process one may not be allowed to read the environment; the group ids are open to all.
  const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  if (`\0${environment}`.includes(`\0${MARK_VARIABLE}=${mark.attemptUid}\0`)) return true;
  if (mark.trackingGroup === null) return false;
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return (/^Groups:\s*(.*)$/m.exec(status)?.[1] ?? "").split(/\s+/).includes(String(mark.trackingGroup));
}

/**
 * Ends the processes of an attempt with SIGKILL. Resolves to those that do not end, e.g. since the system does not let
 * them; usually none.
 * @param {AttemptMark} mark
 * @returns {Promise<number[]>}
 */
export async function killMembers(mark) {
  let left = /** @type {ProcessIdentity[]} */ ([]);
  let cleanScans = 0;
  for (let round = 0; round < 100; round++) {
    left = await membersOf(mark);
    for (const { pid } of left) send(pid, "SIGKILL");
    // One clean scan may have missed a child whose parent ended while the scan ran.
    cleanScans = left.length === 0 ? cleanScans + 1 : 0;
    if (cleanScans === 2) return [];
    if (left.length > 0) await delay(10);
  }
  return left.map(({ pid }) => pid);
}

/**
 * The process that was started with exactly these last arguments, if it lives.
 * @param {readonly string[]} lastArguments
 * @returns {Promise<ProcessIdentity | null>}
 */
export async function findByArguments(lastArguments) {
  const ending = `\0${lastArguments.join("\0")}\0`;
  for (const { pid, start } of await livingProcesses()) {
    const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (line.endsWith(ending)) return { pid, start };
  }
  return null;
}
