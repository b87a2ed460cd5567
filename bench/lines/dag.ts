/** What the size of a job costs: no-op tasks in jobs of 1 to 1,000 tasks, as many underway at once in each. */

import { setTimeout as delay } from "node:timers/promises";
import type { Bench } from "../bench.js";
import { createBody, JOB_SERVICE } from "../job.js";
import type { Line } from "../line.js";
import type { CallsLoad } from "../load/calls.js";
import { startNoop } from "../muster.js";
import { startPart } from "../parts.js";
import { openConnection } from "../postgres.js";
import { type Contender, cpuText, roundsOf, takeTurns } from "../rounds.js";

interface Size {
  /** Tasks a job. Each waits for the one `parallelism` places before it, so a job is so many chains side by side. */
  readonly tasks: number;
  readonly parallelism: number;
  /** Jobs at once: with the parallelism, always 100 tasks. */
  readonly jobsAtOnce: number;
  /** Jobs of a round. */
  readonly jobs: number;
}

const SIZES: readonly Size[] = [
  { tasks: 1, parallelism: 1, jobsAtOnce: 100, jobs: 2000 },
  { tasks: 10, parallelism: 10, jobsAtOnce: 10, jobs: 200 },
  { tasks: 100, parallelism: 25, jobsAtOnce: 4, jobs: 24 },
  { tasks: 1000, parallelism: 25, jobsAtOnce: 4, jobs: 4 },
];
const REFERENCE = 10;

export const dag: Line = {
  name: "dag",
  about: "time per no-op task in jobs of 1, 10, 100 and 1,000 tasks",
  async run(bench) {
    const contenders = await Promise.all(SIZES.map((size) => sizeContender(bench, size)));
    const rounds = await takeTurns(bench, contenders);
    for (const each of contenders) await each.stop();
    const msOf = (tasks: number): number => 1000 / roundsOf(rounds, { name: nameOf(tasks) }).median.value;
    return SIZES.filter(({ tasks }) => tasks !== REFERENCE).map(({ tasks }) => ({
      what: `no-op task in ${nameOf(tasks)}`,
      unit: "ms",
      ours: msOf(tasks),
      baseline: { name: nameOf(REFERENCE), value: msOf(REFERENCE) },
      bars: [{ of: "ratio", is: "at most", value: 1.3 }],
      note: `100 tasks underway at once; ${cpuText(roundsOf(rounds, { name: nameOf(tasks) }))}`,
      detail: Object.fromEntries(rounds),
    }));
  },
};

function nameOf(tasks: number): string {
  return tasks === 1 ? "jobs of 1 task" : `jobs of ${tasks} tasks`;
}

async function sizeContender(bench: Bench, size: Size): Promise<Contender & { stop(): Promise<void> }> {
  const { tasks, parallelism, jobsAtOnce } = size;
  const jobs = bench.quick ? Math.ceil(Math.max(size.jobs / 4, jobsAtOnce)) : size.jobs;
  const server = await startNoop(bench, `dag_${tasks}`, { limits: { tasks: 1000 } });
  const load = startPart<CallsLoad>("load/calls.ts");
  const body = createBody({ tasks, parallelism, domains: ["alice"], behind: parallelism });
  await load.ask("open", { protocol: "grpc", url: server.url, path: `${JOB_SERVICE}/CreateJob`, body, inFlight: jobsAtOnce });
  const client = await openConnection(server.databaseUrl);
  // A job that has not ended has a live task: the end of one opens the next in the same statement.
  const openJobs = async (): Promise<number> => {
    const rows = await client.query<{ open: number }>("select count(distinct job_uid)::int as open from tasks where live");
    return rows[0]?.open ?? 0;
  };
  let made = 0;
  return {
    name: nameOf(tasks),
    processes: { server: [server.pid], load: [load.pid], postgres: [bench.postgres.pid] },
    async round() {
      const begin = performance.now();
      const end = made + jobs;
      for (let open = 0; made < end || open > 0; open = await openJobs()) {
        const calls = Math.min(jobsAtOnce - open, end - made);
        if (calls > 0) {
          await load.ask("run", { ids: { from: made }, calls });
          made += calls;
        } else await delay(2);
      }
      return { value: (jobs * tasks) / ((performance.now() - begin) / 1000) };
    },
    async stop() {
      await client.end();
      await load.stop();
      await server.stop();
    },
  };
}
