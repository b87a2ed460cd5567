/** Work that does nothing, from the request to the end: what the engine costs, beside job queues. */

import { setTimeout as delay } from "node:timers/promises";
import { QUEUES, type QueueMethods, type QueueSetting } from "../baselines/queue.js";
import type { Bench } from "../bench.js";
import { createBody, type JobShape } from "../job.js";
import type { Line } from "../line.js";
import { ID_DIGITS } from "../load/messages.js";
import { startNoop } from "../muster.js";
import { startPart } from "../parts.js";
import { openConnection } from "../postgres.js";
import { type Contender, cpuText, fastest, roundsOf, takeTurns } from "../rounds.js";
import { percentile } from "../statistics.js";
import { createContender } from "./create.js";

/** Few enough that no queue builds up, so that what is waited for is the engine. */
const PACE = 50;

export const noop: Line = {
  name: "noop",
  about: "no-op tasks from the request to the end, beside no-op jobs of graphile-worker and pg-boss",
  async run(bench) {
    const one = await oursContender(bench, "muster", ["alice"]);
    const two = await oursContender(bench, "muster, two parties", ["alice", "bob"]);
    const queues = await Promise.all(QUEUES.map((queue) => queueContender(bench, queue)));
    const rounds = await takeTurns(bench, [one, two, ...queues]);
    for (const contender of [one, two, ...queues]) await contender.stop();
    const own = roundsOf(rounds, one);
    const detail = Object.fromEntries(rounds);
    return [
      {
        what: "no-op one-task jobs, created over gRPC and run",
        unit: "tasks/s",
        ours: own.median.value,
        baseline: fastest(rounds, queues),
        bars: [{ of: "ratio", is: "at least", value: 2 }],
        note: `one party a task; with two parties ${roundsOf(rounds, two).median.value.toFixed(0)} tasks/s; ${cpuText(own)}`,
        detail,
      },
      {
        what: `no-op task ready -> started at ${PACE} jobs/s, p50`,
        unit: "ms",
        ours: own.median["p50"] ?? Number.NaN,
        bars: [{ of: "ours", is: "at most", value: 10 }],
        note: [one, ...queues].map((each) => waitsText(each.name, roundsOf(rounds, each).median)).join("; "),
        detail: {},
      },
    ];
  },
};

function waitsText(name: string, median: Readonly<Record<string, number>>): string {
  return `${name} p50 ${median["p50"]?.toFixed(0)} ms, p99 ${median["p99"]?.toFixed(0)} ms`;
}

type Stoppable = Contender & { stop(): Promise<void> };

async function oursContender(bench: Bench, name: string, domains: readonly string[]): Promise<Stoppable> {
  const shape: JobShape = { tasks: 1, parallelism: 1, domains };
  const server = await startNoop(bench, `noop_${domains.length}`);
  const creating = await createContender(bench, server, { body: createBody(shape) });
  const client = await openConnection(server.databaseUrl);
  // The index that holds live tasks alone answers it.
  const allEnded = async (): Promise<void> => {
    while ((await client.query("select from tasks where live limit 1")).length > 0) await delay(5);
  };
  let made = 0;
  return {
    name,
    processes: creating.processes,
    async round(seconds) {
      const begin = performance.now();
      const { calls } = await creating.load.ask("run", { ids: { from: made }, seconds });
      await allEnded();
      const perSecond = calls / ((performance.now() - begin) / 1000);
      made += calls;
      const paced = await creating.load.ask("run", { ids: { from: made }, seconds, perSecond: PACE });
      await allEnded();
      const rows = await client.query<{ ms: number }>(
        `select (extract(epoch from t.started_at - t.created_at) * 1000)::float8 as ms
         from jobs j join tasks t on t.job_uid = j.uid where j.job_id >= $1`,
        [`bench-${String(made).padStart(ID_DIGITS, "0")}`],
      );
      made += paced.calls;
      return { value: perSecond, ...waitsOf(rows.map((row) => row.ms)) };
    },
    async stop() {
      await client.end();
      await creating.stop();
      await server.stop();
    },
  };
}

async function queueContender(bench: Bench, { name, pool, concurrency }: QueueSetting): Promise<Stoppable> {
  const databaseUrl = await bench.postgres.database(`noop_${name}`);
  const [adder, worker] = [startPart<QueueMethods>(`baselines/${name}.ts`), startPart<QueueMethods>(`baselines/${name}.ts`)];
  for (const part of [adder, worker]) await part.ask("open", { databaseUrl, pool });
  await worker.ask("work", concurrency);
  let added = 0;
  return {
    name,
    processes: { server: [worker.pid], load: [adder.pid], postgres: [bench.postgres.pid] },
    async round(seconds) {
      const begin = performance.now();
      const { jobs } = await adder.ask("add", { seconds, inFlight: 32 });
      added += jobs;
      await worker.ask("done", added);
      const perSecond = jobs / ((performance.now() - begin) / 1000);
      await worker.ask("waits");
      const paced = await adder.ask("add", { seconds, inFlight: 32, perSecond: PACE });
      added += paced.jobs;
      await worker.ask("done", added);
      return { value: perSecond, ...waitsOf(await worker.ask("waits")) };
    },
    async stop() {
      await Promise.all([adder.stop(), worker.stop()]);
    },
  };
}

function waitsOf(waits: readonly number[]): { p50: number; p99: number } {
  return { p50: percentile(waits, 0.5), p99: percentile(waits, 0.99) };
}
