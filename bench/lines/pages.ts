/** Pages of lists with few jobs stored beside the same with many. */

import type { OffsetPages, OffsetQuestion } from "../baselines/offset.js";
import type { Bench } from "../bench.js";
import { filledDatabase } from "../fill.js";
import type { Row } from "../line.js";
import type { PagesLoad, PagesTarget, Question } from "../load/pages.js";
import { type MusterServer, serve, WAITING } from "../muster.js";
import { startPart } from "../parts.js";
import { openConnection } from "../postgres.js";
import { type Contender, cpuText, type Rounds, roundsOf, takeTurns } from "../rounds.js";
import { percentile } from "../statistics.js";
import { PAGE } from "./deep.js";

export interface Stored {
  readonly jobs: number;
  readonly server: MusterServer;
}

const DEPTHS = ["first", "deep"] as const;
export type Depth = (typeof DEPTHS)[number];
export type Pages = Readonly<Record<Depth, readonly Question[]>>;

/** Few jobs and many, with the indexes of times that an application with OFFSET would have. */
export async function startStored(bench: Bench): Promise<readonly [Stored, Stored]> {
  const start = async (jobs: number): Promise<Stored> => {
    const databaseUrl = await filledDatabase(bench, jobs, "lists");
    const client = await openConnection(databaseUrl);
    for (const column of ["created_at", "updated_at"]) {
      await client.query(`create index if not exists jobs_${column} on jobs (${column})`);
    }
    await client.end();
    return { jobs, server: await serve(bench, databaseUrl, WAITING) };
  };
  return [await start(10_000), await start(bench.quick ? 50_000 : 1_000_000)];
}

/** How much slower a page may be with many jobs. */
const BAR = 2;

interface PagesContender extends Contender {
  /** All calls of the rounds that count, by question. */
  readonly times: readonly number[][];
  readonly questions: readonly Question[];
  stop(): Promise<void>;
}

async function pagesContender(
  bench: Bench,
  server: MusterServer,
  name: string,
  target: Omit<PagesTarget, "url">,
): Promise<PagesContender> {
  const load = startPart<PagesLoad>("load/pages.ts");
  await load.ask("open", { ...target, url: server.url });
  const times = target.questions.map((): number[] => []);
  let rounds = 0;
  return {
    name,
    times,
    questions: target.questions,
    processes: { server: [server.pid], load: [load.pid], postgres: [bench.postgres.pid] },
    async round(seconds) {
      const taken = await load.ask("run", { seconds });
      rounds += 1;
      if (rounds > bench.warmUps) for (const [i, some] of taken.entries()) times[i]?.push(...some);
      return sampleOf(taken.flat());
    },
    stop: () => load.stop(),
  };
}

async function offsetContender(
  bench: Bench,
  { server }: Stored,
  name: string,
  ask: readonly OffsetQuestion[],
): Promise<Contender & { stop(): Promise<void> }> {
  const part = startPart<OffsetPages>("baselines/offset.ts");
  await part.ask("open", { databaseUrl: server.databaseUrl, ask });
  return {
    name,
    processes: { load: [part.pid], postgres: [bench.postgres.pid] },
    round: async (seconds) => sampleOf(await part.ask("run", { seconds })),
    stop: () => part.stop(),
  };
}

function sampleOf(times: readonly number[]): { value: number; p50: number; calls: number } {
  return { value: percentile(times, 0.99), p50: percentile(times, 0.5), calls: times.length };
}

export interface Comparison {
  readonly what: string;
  readonly method?: string;
  /** Of the few jobs and of the many. */
  readonly pages: readonly [Pages, Pages];
  /** The same by OFFSET, from the first match on and from so much of them on. */
  readonly offset?: { readonly ask: readonly Omit<OffsetQuestion, "depth">[]; readonly deep: number };
}

/** Pages of both, in turns: a row for the first pages, one for deep ones, and one beside each by OFFSET. */
export async function compare(bench: Bench, stored: readonly [Stored, Stored], comparison: Comparison): Promise<Row[]> {
  const { what, method, pages, offset } = comparison;
  const [few, many] = stored;
  const contenderOf = async (depth: Depth, { jobs, server }: Stored, questions: readonly Question[]): Promise<PagesContender> =>
    pagesContender(bench, server, `${jobs} jobs, ${depth}`, { questions, ...(method === undefined ? {} : { method }) });
  const pairs = [];
  for (const depth of DEPTHS) {
    pairs.push({
      depth,
      short: await contenderOf(depth, few, pages[0][depth]),
      long: await contenderOf(depth, many, pages[1][depth]),
    });
  }
  const contenders = pairs.flatMap(({ short, long }) => [short, long]);
  const rounds = await takeTurns(bench, contenders);
  for (const each of contenders) await each.stop();
  const naive = offset && (await offsetRounds(bench, many, offset));
  return pairs.flatMap(({ depth, short, long }): Row[] => {
    const own = roundsOf(rounds, long);
    const row: Row = {
      what: `${what}, ${depth} page of ${PAGE}, p99, ${many.jobs} jobs stored`,
      unit: "ms",
      ours: own.median.value,
      baseline: { name: `${few.jobs} jobs`, value: roundsOf(rounds, short).median.value },
      bars: [{ of: "ratio", is: "at most", value: BAR }],
      note: [
        `${long.questions.length} questions`,
        `p50 ${own.median["p50"]?.toFixed(2)} and ${roundsOf(rounds, short).median["p50"]?.toFixed(2)} ms`,
        worstText(short, long),
        cpuText(own),
      ].join("; "),
      detail: { rounds: Object.fromEntries(rounds), questions: questionsOf(short, long) },
    };
    if (!naive) return [row];
    const { median, samples } = naive[depth];
    const beside: Row = {
      what: row.what,
      unit: "ms",
      ours: row.ours,
      baseline: { name: `OFFSET and count(*), ${depth} page`, value: median.value },
      note: `for information: jobs without steps by pg, with indexes of both times; its p50 ${median["p50"]?.toFixed(1)} ms`,
      detail: { median, samples },
    };
    return [row, beside];
  });
}

/** After ours and not between, since they leave little in the caches of what was there. */
async function offsetRounds(
  bench: Bench,
  stored: Stored,
  { ask, deep }: NonNullable<Comparison["offset"]>,
): Promise<Record<Depth, Rounds>> {
  const contenderOf = (depth: Depth, share: number): ReturnType<typeof offsetContender> =>
    offsetContender(bench, stored, depth, ask.map((question) => ({ ...question, depth: share })));
  const contenders = [await contenderOf("first", 0), await contenderOf("deep", deep)];
  const rounds = await takeTurns(bench, contenders);
  for (const each of contenders) await each.stop();
  return { first: roundsOf(rounds, { name: "first" }), deep: roundsOf(rounds, { name: "deep" }) };
}

/** With few jobs, with many. */
type Pair = readonly [number, number];

/** Every question by itself, over all rounds. */
function questionsOf(short: PagesContender, long: PagesContender): { name: string; calls: number; p50: Pair; p99: Pair }[] {
  return long.questions.map(({ name }, i) => {
    const [few, many] = [short.times[i] ?? [], long.times[i] ?? []];
    const at = (part: number): Pair => [percentile(few, part), percentile(many, part)];
    return { name, calls: many.length, p50: at(0.5), p99: at(0.99) };
  });
}

function worstText(short: PagesContender, long: PagesContender): string {
  const ratio = ([few, many]: Pair): number => many / few;
  const text = ([few, many]: Pair): string => `${many.toFixed(1)} and ${few.toFixed(1)} ms`;
  const all = questionsOf(short, long);
  const over = all.filter(({ p99 }) => ratio(p99) > BAR).length;
  const [worst] = all.sort((a, b) => ratio(b.p50) - ratio(a.p50));
  if (!worst) throw new Error("no questions");
  const { name, p50, p99, calls } = worst;
  return [
    `${over} of them above ${BAR}x in the p99 of their own calls`,
    `most grown in p50: ${name}, p50 ${text(p50)}, p99 of its ${calls} calls ${text(p99)}`,
  ].join("; ");
}
