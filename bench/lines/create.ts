/** Making jobs: durable jobs a second over gRPC, beside plain SQL one by one. */

import { oneByOne, type Transactions, transactionsLike } from "../baselines/one-by-one.js";
import { QUEUES, type QueueMethods, type QueueSetting } from "../baselines/queue.js";
import type { Bench } from "../bench.js";
import { createBody, JOB_SERVICE, USUAL } from "../job.js";
import type { Line, Row } from "../line.js";
import type { CallsLoad } from "../load/calls.js";
import { startMuster, WAITING } from "../muster.js";
import { type Part, startPart } from "../parts.js";
import { type Contender, cpuText, fastest, roundsOf, takeTurns } from "../rounds.js";

export const IN_FLIGHT = 64;

const FORMS = { usual: "begin to commit", single: "one statement" } as const satisfies Record<keyof Transactions, string>;

/** CreateJob of the usual job on a server, with new ids in every round. */
export async function createContender(
  bench: Bench,
  server: { readonly url: string; readonly pid: number },
  { name = "muster", body = createBody(USUAL), domains = 1 } = {},
): Promise<Contender & { readonly load: Part<CallsLoad>; stop(): Promise<void> }> {
  const load = startPart<CallsLoad>("load/calls.ts");
  await load.ask("open", { protocol: "grpc", url: server.url, path: `${JOB_SERVICE}/CreateJob`, body, inFlight: IN_FLIGHT });
  let made = 0;
  return {
    name,
    load,
    processes: { server: [server.pid], load: [load.pid], postgres: [bench.postgres.pid] },
    async round(seconds) {
      const { perSecond, calls, p50, p99 } = await load.ask("run", { ids: { from: made }, domains, seconds });
      made += calls;
      return { value: perSecond, p50, p99 };
    },
    stop: () => load.stop(),
  };
}

async function addContender(bench: Bench, { name, pool }: QueueSetting): Promise<Contender & { stop(): Promise<void> }> {
  const adder = startPart<QueueMethods>(`baselines/${name}.ts`);
  await adder.ask("open", { databaseUrl: await bench.postgres.database(`create_${name}`), pool });
  return {
    name,
    processes: { load: [adder.pid], postgres: [bench.postgres.pid] },
    async round(seconds) {
      const { perSecond } = await adder.ask("add", { seconds, inFlight: 32 });
      return { value: perSecond };
    },
    stop: () => adder.stop(),
  };
}

export const create: Line = {
  name: "create",
  about: "CreateJob over gRPC, beside one transaction per job by plain SQL",
  async run(bench) {
    const server = await startMuster(bench, "create", WAITING);
    const ours = await createContender(bench, server);
    // One job, whose rows are the pattern of the baseline's.
    await ours.load.ask("run", { ids: { from: 999_999_999 }, calls: 1 });
    const transactions = await transactionsLike(server.databaseUrl);
    // A database of the same tables, made by a server that is not needed any more.
    const other = await startMuster(bench, "create_raw", WAITING);
    await other.stop();
    const raw = await oneByOne(bench, other.databaseUrl);
    const rival = (form: keyof Transactions, connections: number): Contender => ({
      name: `${raw.how}, ${FORMS[form]}, ${connections} connections`,
      processes: { load: raw.pids, postgres: [bench.postgres.pid] },
      round: async (seconds) => ({ value: await raw.run(transactions[form], connections, seconds) }),
    });
    const usual = [rival("usual", 8), rival("usual", 32)];
    const single = [rival("single", 8), rival("single", 32)];
    const queues = await Promise.all(QUEUES.map((queue) => addContender(bench, queue)));
    const rounds = await takeTurns(bench, [ours, ...usual, ...single, ...queues]);
    for (const each of [ours, raw, server, ...queues]) await each.stop();
    const own = roundsOf(rounds, ours);
    const row = (rivals: readonly Contender[]): Row => ({
      what: `CreateJob (2 tasks x 2 parties), ${IN_FLIGHT} in flight`,
      unit: "jobs/s",
      ours: own.median.value,
      baseline: fastest(rounds, rivals),
      detail: Object.fromEntries(rounds),
    });
    const latency = `p50 ${own.median["p50"]?.toFixed(1)} ms, p99 ${own.median["p99"]?.toFixed(1)} ms`;
    return [
      { ...row(usual), bars: [{ of: "ratio", is: "at least", value: 2 }], note: `${latency}; ${cpuText(own)}` },
      { ...row(queues), bars: [{ of: "ratio", is: "at least", value: 3 }], note: "addJob and send, 32 in flight" },
      { ...row(single), note: "the raw limit of one transaction per job, for information" },
    ];
  },
};
