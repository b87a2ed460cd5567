/** Rounds: contenders take turns, A B A B, so that whatever else the machine does meets them alike. */

import { setTimeout as delay } from "node:timers/promises";
import type { Bench } from "./bench.js";
import { median } from "./statistics.js";
import { cpuSeconds } from "./usage.js";

/** What one round has measured, by name; `value` is what is compared. */
export type Sample = Readonly<Record<string, number>> & { readonly value: number };

export interface Contender {
  readonly name: string;
  /** Whose CPU is counted, by what they are called; of `postgres` with its children. */
  readonly processes: Readonly<Record<string, readonly number[]>>;
  round(seconds: number): Promise<Sample>;
}

export interface Rounds {
  /** Median of each measured name over the rounds, and `cpu <process>` in cores. */
  readonly median: Sample;
  readonly samples: readonly Sample[];
}

/** `bench.warmUps` rounds of each that do not count, then `bench.rounds` of each in turns. */
export async function takeTurns(bench: Bench, contenders: readonly Contender[]): Promise<Map<string, Rounds>> {
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 1 - bench.warmUps; round <= bench.rounds; round += 1) {
    for (const contender of contenders) {
      const sample = await measured(bench, contender);
      bench.say(`${round > 0 ? `round ${round}` : "warm-up"} ${contender.name}: ${sample.value.toPrecision(4)}`);
      if (round > 0) samples.get(contender.name)?.push(sample);
    }
  }
  return new Map([...samples].map(([name, taken]) => [name, { median: medianOf(taken), samples: taken }]));
}

async function measured(bench: Bench, contender: Contender): Promise<Sample> {
  // What the one before has left to do (a checkpoint goes on, but sockets and timers come to rest).
  await delay(100);
  const processes = Object.entries(contender.processes);
  const cpu = (): number[] => processes.map(([name, pids]) => cpuSeconds(pids, name === "postgres"));
  const cpuBefore = cpu();
  const begin = performance.now();
  const sample = await contender.round(bench.seconds);
  const seconds = (performance.now() - begin) / 1000;
  const used = cpu().map((after, i) => (after - (cpuBefore[i] ?? 0)) / seconds);
  return { ...sample, ...Object.fromEntries(processes.map(([name], i) => [`cpu ${name}`, used[i] ?? Number.NaN])) };
}

export function medianOf(samples: readonly Sample[]): Sample {
  const names = new Set(samples.flatMap((sample) => Object.keys(sample)));
  const medians = Object.fromEntries([...names].map((name) => [name, median(samples.map((sample) => sample[name] ?? Number.NaN))]));
  return { ...medians, value: medians["value"] ?? Number.NaN };
}

export function roundsOf(all: ReadonlyMap<string, Rounds>, { name }: { readonly name: string }): Rounds {
  const rounds = all.get(name);
  if (!rounds) throw new Error(`no rounds of ${name}`);
  return rounds;
}

/** The contender with the highest median. */
export function fastest(all: ReadonlyMap<string, Rounds>, rivals: readonly Contender[]): { name: string; value: number } {
  const [best] = rivals
    .map((rival) => ({ name: rival.name, value: roundsOf(all, rival).median.value }))
    .sort((a, b) => b.value - a.value);
  if (!best) throw new Error("no rivals");
  return best;
}

/** `cpu server 0.9, postgres 0.5, load 0.2 cores`. */
export function cpuText({ median }: Rounds): string {
  const parts = Object.entries(median).filter(([name]) => name.startsWith("cpu "));
  return `cores: ${parts.map(([name, cores]) => `${name.slice(4)} ${cores.toFixed(2)}`).join(", ")}`;
}
