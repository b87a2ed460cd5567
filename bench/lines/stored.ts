/** What a long history costs: reading beside plain SQL, every operation beside a short history, and memory. */

import { create, toBinary } from "@bufbuild/protobuf";
import { WatchJobRequestSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type { Select } from "../baselines/select.js";
import type { Bench } from "../bench.js";
import { filledDatabase } from "../fill.js";
import { createBody, JOB_SERVICE, queryBody, USUAL } from "../job.js";
import type { Line, Row } from "../line.js";
import type { CallsLoad } from "../load/calls.js";
import { envelope } from "../load/grpc.js";
import type { WatchLoad } from "../load/watch.js";
import { type MusterServer, serve, startMuster, WAITING } from "../muster.js";
import { startPart } from "../parts.js";
import { type Contender, cpuText, fastest, roundsOf, takeTurns } from "../rounds.js";
import { createContender, IN_FLIGHT } from "./create.js";
import { settledBytes } from "./watch.js";

type Stoppable = Contender & { stop(): Promise<void> };

/** QueryJob of any of the stored jobs. */
async function queryContender(bench: Bench, server: MusterServer, name: string, jobs: number): Promise<Stoppable> {
  const load = startPart<CallsLoad>("load/calls.ts");
  const path = `${JOB_SERVICE}/QueryJob`;
  await load.ask("open", { protocol: "grpc", url: server.url, path, body: queryBody(), inFlight: IN_FLIGHT });
  return {
    name,
    processes: { server: [server.pid], load: [load.pid], postgres: [bench.postgres.pid] },
    async round(seconds) {
      const { perSecond, p50, p99 } = await load.ask("run", { ids: { below: jobs }, seconds });
      return { value: perSecond, p50, p99 };
    },
    stop: () => load.stop(),
  };
}

export const query: Line = {
  name: "query",
  about: "QueryJob over gRPC with 100,000 jobs stored, beside the same statement by pg",
  async run(bench) {
    const jobs = bench.quick ? 10_000 : 100_000;
    const databaseUrl = await filledDatabase(bench, jobs, "read");
    const server = await serve(bench, databaseUrl, WAITING);
    const ours = await queryContender(bench, server, "muster", jobs);
    const rivals = await Promise.all(
      [3, 10].map(async (connections): Promise<Stoppable> => {
        const part = startPart<Select>("baselines/select.ts");
        await part.ask("open", { databaseUrl, connections });
        return {
          name: `pg, ${connections} connections`,
          processes: { load: [part.pid], postgres: [bench.postgres.pid] },
          round: async (seconds) => ({ value: await part.ask("run", { seconds, inFlight: IN_FLIGHT, below: jobs }) }),
          stop: () => part.stop(),
        };
      }),
    );
    const rounds = await takeTurns(bench, [ours, ...rivals]);
    for (const each of [ours, ...rivals, server]) await each.stop();
    const own = roundsOf(rounds, ours);
    return [
      {
        what: `QueryJob over gRPC with ${jobs} jobs stored, ${IN_FLIGHT} in flight`,
        unit: "calls/s",
        ours: own.median.value,
        baseline: fastest(rounds, rivals),
        bars: [{ of: "ratio", is: "at least", value: 0.6 }],
        note: `p99 ${own.median["p99"]?.toFixed(1)} ms; ${cpuText(own)}`,
        detail: Object.fromEntries(rounds),
      },
    ];
  },
};

const SNAPSHOT_PAGE = 200;
const SNAPSHOT_PAGES = 5;

/** The first pages of a snapshot, again and again. */
async function snapshotContender(bench: Bench, server: MusterServer, name: string): Promise<Stoppable> {
  const load = startPart<WatchLoad>("load/watch.ts");
  const body = envelope(toBinary(WatchJobRequestSchema, create(WatchJobRequestSchema)));
  return {
    name,
    processes: { server: [server.pid], load: [load.pid], postgres: [bench.postgres.pid] },
    async round(seconds) {
      const target = { url: server.url, path: `${JOB_SERVICE}/WatchJob`, body };
      const ms = await load.ask("snapshots", { ...target, frames: SNAPSHOT_PAGE * SNAPSHOT_PAGES, seconds });
      return { value: 1000 / (ms / SNAPSHOT_PAGES) };
    },
    stop: () => load.stop(),
  };
}

export const growth: Line = {
  name: "growth",
  about: "CreateJob, QueryJob and a page of WatchJob's snapshot with 1,000, 100,000 and a million jobs stored",
  async run(bench) {
    const sizes = bench.quick ? [1_000, 10_000, 50_000] : [1_000, 100_000, 1_000_000];
    const servers: { jobs: number; server: MusterServer }[] = [];
    for (const jobs of sizes) {
      servers.push({ jobs, server: await serve(bench, await filledDatabase(bench, jobs, "growth"), WAITING) });
    }
    const nameOf = (jobs: number): string => `${jobs} jobs`;
    const rows: Row[] = [];
    const measure = async (what: string, contenderOf: (jobs: number, server: MusterServer) => Promise<Stoppable>) => {
      const contenders = await Promise.all(servers.map(({ jobs, server }) => contenderOf(jobs, server)));
      const rounds = await takeTurns(bench, contenders);
      for (const each of contenders) await each.stop();
      const msOf = (jobs: number): number => 1000 / roundsOf(rounds, { name: nameOf(jobs) }).median.value;
      const [first = 0, ...others] = sizes;
      for (const jobs of others) {
        rows.push({
          what: `${what} with ${nameOf(jobs)} stored`,
          unit: "ms",
          ours: msOf(jobs),
          baseline: { name: nameOf(first), value: msOf(first) },
          bars: [{ of: "ratio", is: "at most", value: 1.3 }],
          detail: Object.fromEntries(rounds),
        });
      }
    };
    await measure("QueryJob", (jobs, server) => queryContender(bench, server, nameOf(jobs), jobs));
    await measure(`snapshot page of ${SNAPSHOT_PAGE} jobs`, (jobs, server) => snapshotContender(bench, server, nameOf(jobs)));
    await measure("CreateJob", (jobs, server) =>
      createContender(bench, server, { name: nameOf(jobs), body: createBody(USUAL, "grown") }),
    );
    for (const { server } of servers) await server.stop();
    return rows;
  },
};

/** What is left of garbage that was or was not collected, between two idle servers. */
const NOISE_MB = 5;

export const memory: Line = {
  name: "memory",
  about: "resident memory of the idle server, and with 100,000 jobs stored",
  async run(bench) {
    const jobs = bench.quick ? 10_000 : 100_000;
    const empty = await startMuster(bench, "memory", WAITING);
    const before = (await settledBytes(empty, bench)) / 1e6;
    await empty.stop();
    const full = await serve(bench, await filledDatabase(bench, jobs, "read"), WAITING);
    const after = (await settledBytes(full, bench)) / 1e6;
    await full.stop();
    return [
      {
        what: "idle server, resident memory",
        unit: "MB",
        ours: before,
        bars: [{ of: "ours", is: "at most", value: 120 }],
        note: "the server's process only: its Postgres is another one",
        detail: {},
      },
      {
        what: `idle server with ${jobs} jobs stored, more than without`,
        unit: "MB",
        ours: after - before,
        bars: [{ of: "ours", is: "at most", value: NOISE_MB }],
        note: `the bar is 0; ${NOISE_MB} MB is what two starts of the same server differ by`,
        detail: { before, after },
      },
    ];
  },
};
