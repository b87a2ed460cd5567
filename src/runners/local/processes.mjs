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

import { setTimeout as delay } from "node:timers/promises";
import { hasProc, livingProcesses, processNow, readProcess } from "./proc.mjs";
import { retrying } from "./retry.mjs";

/** @typedef {import("./proc.mjs").Process} Process */

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
 * @property {boolean} [canWait] The caller does nothing else than to supervise this attempt.
 * @property {boolean} [justEnded] The caller is the leader's parent and has this moment seen it end.
 */

/** Name of the variable by which the processes of an attempt are known. */
export const MARK_VARIABLE = "MUSTER_ATTEMPT";

/**
 * The identity of a process that is there, or of a child that has ended and was not waited for yet.
 * @param {number} pid
 * @returns {ProcessIdentity}
 */
export function identify(pid) {
  return { pid, start: hasProc ? processNow(pid).start : null };
}

/**
 * Whether the very process lives: not merely its pid, and not as a zombie.
 * @param {ProcessIdentity} identity
 * @returns {Promise<boolean>}
 */
export async function isAlive(identity) {
  if (!hasProc) return send(identity.pid, 0);
  const found = await retrying(() => readProcess(identity.pid));
  return found !== null && !found.hasEnded && (identity.start === null || found.start === identity.start);
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

/**
 * The living processes of an attempt, the caller never among them. `inGroup` tells which are in the leader's process
 * group. Rejects where the machine is short of something.
 * @param {AttemptMark} mark
 * @returns {Promise<(ProcessIdentity & { inGroup: boolean })[]>}
 */
export async function membersOf(mark) {
  const { leader } = mark;
  if (!hasProc) {
    const isThere = leader !== null && send(-leader.pid, 0);
    return isThere ? [{ pid: -leader.pid, start: null, inGroup: true }] : [];
  }
  const all = await livingProcesses();
  // The number of a group or session is given to nobody else while one of its processes lives. Some time after the
  // leader's end there is no telling whether it is still the same group.
  const isKnown = leader !== null && (mark.justEnded || readProcess(leader.pid)?.start === leader.start);
  const known = new Set(mark.known?.map((one) => `${one.pid}@${one.start}`));
  const found = new Set();
  for (const one of all) {
    const isLeaders = isKnown && (one.group === leader.pid || one.session === leader.pid);
    if (isLeaders || known.has(`${one.pid}@${one.start}`) || (await isMarked(one, mark))) found.add(one.pid);
  }
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const one of all) if (found.has(one.parent)) found.add(one.pid);
  }
  const members = all.filter((one) => found.has(one.pid));
  return members.map(({ pid, start, group }) => ({ pid, start, inGroup: isKnown && group === leader.pid }));
}

/** @param {Process} one @param {AttemptMark} mark @returns {Promise<boolean>} */
async function isMarked(one, mark) {
  // What carries the mark was begotten by the app, so none of it is older.
  if (mark.leader !== null && isOlder(one.start, mark.leader.start)) return false;
  if (mark.trackingGroup !== null && one.groups().has(String(mark.trackingGroup))) return true;
  // An app that is known has its group already, and it and what it begets cannot leave it.
  if (mark.trackingGroup !== null && mark.leader !== null) return false;
  const environment = await one.environment(mark.canWait === true);
  return `\0${environment}`.includes(`\0${MARK_VARIABLE}=${mark.attemptUid}\0`);
}

/**
 * Whether both started since the same boot, the first before the second.
 * @param {string} one @param {string | null} other
 */
function isOlder(one, other) {
  const [ofBoot, tick] = one.split(".");
  const [ofOtherBoot, otherTick] = other?.split(".") ?? [];
  return ofBoot === ofOtherBoot && Number(tick) < Number(otherTick);
}

/**
 * Ends the processes of an attempt with SIGKILL. Resolves to those that do not end, e.g. since the system does not let
 * them; usually none. Rejects where the machine stays short of something for seconds.
 * @param {AttemptMark} mark
 * @returns {Promise<number[]>}
 */
export async function killMembers(mark) {
  let left = /** @type {ProcessIdentity[]} */ ([]);
  let cleanScans = 0;
  for (let round = 0; round < 100; round++) {
    left = await retrying(() => membersOf(mark));
    for (const { pid } of left) send(pid, "SIGKILL");
    // One clean scan may have missed a child whose parent ended while the scan ran.
    cleanScans = left.length === 0 ? cleanScans + 1 : 0;
    if (cleanScans === 2) return [];
    if (left.length > 0) await delay(10);
  }
  return left.map(({ pid }) => pid);
}

/**
 * The process that was started with exactly these last arguments, if it lives. Rejects where the machine is short of
 * something.
 * @param {readonly string[]} lastArguments
 * @returns {Promise<ProcessIdentity | null>}
 */
export async function findByArguments(lastArguments) {
  const ending = `\0${lastArguments.join("\0")}\0`;
  for (const one of await livingProcesses()) {
    const line = await one.commandLine();
    if (line.endsWith(ending)) return { pid: one.pid, start: one.start };
  }
  return null;
}
