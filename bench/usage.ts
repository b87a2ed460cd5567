/** What processes take of the machine, from /proc. Elsewhere than on Linux it is not told. */

import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Of Linux for user space, on every platform that Node runs on. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly parent: number;
  readonly ticks: number;
  readonly ticksOfEndedChildren: number;
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The program's name is in brackets and may hold anything; the fields after it begin with the state.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const at = (index: number): number => Number(fields[index]);
    return { parent: at(1), ticks: at(11) + at(12), ticksOfEndedChildren: at(13) + at(14) };
  } catch {
    return undefined;
  }
}

/** Seconds of CPU that the processes have used so far; of a Postgres, with all its children. */
export function cpuSeconds(pids: readonly number[], withChildren: boolean): number {
  if (!existsSync("/proc/self/stat")) return Number.NaN;
  let ticks = 0;
  for (const pid of pids) {
    const stat = statOf(pid);
    ticks += (stat?.ticks ?? 0) + (withChildren ? (stat?.ticksOfEndedChildren ?? 0) : 0);
  }
  if (!withChildren) return ticks / TICKS_PER_SECOND;
  for (const name of readdirSync("/proc")) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
    if (stat && pids.includes(stat.parent)) ticks += stat.ticks;
  }
  return ticks / TICKS_PER_SECOND;
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? Number.NaN) * 1024;
}
