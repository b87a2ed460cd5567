/** Watching: how soon events come, how many watchers there can be, what they cost those who write. */

import { toBinary, create, type MessageInitShape } from "@bufbuild/protobuf";
import { setTimeout as delay } from "node:timers/promises";
import { WatchJobRequestSchema } from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import type { Listening } from "../baselines/listen.js";
import type { Bench } from "../bench.js";
import { createBody, JOB_SERVICE, USUAL } from "../job.js";
import type { Line } from "../line.js";
import { envelope } from "../load/grpc.js";
import { DOMAIN_PLACE } from "../load/messages.js";
import type { Committed, WatchLoad } from "../load/watch.js";
import { type MusterServer, startMuster, WAITING } from "../muster.js";
import { type Part, startPart } from "../parts.js";
import { query } from "../postgres.js";
import { type Contender, cpuText, roundsOf, takeTurns } from "../rounds.js";
import { median, percentile } from "../statistics.js";
import { residentBytes } from "../usage.js";
import { createContender } from "./create.js";

const STREAMS_PER_CONNECTION = 100;
/** Single events, so that each is a commit and a notification of its own. */
const PACE = 100;

interface Watching {
  readonly watchers: number;
  readonly request?: MessageInitShape<typeof WatchJobRequestSchema>;
}

async function watch(server: MusterServer, { watchers, request = { skipSnapshot: true } }: Watching): Promise<Part<WatchLoad>> {
  const load = startPart<WatchLoad>("load/watch.ts");
  const body = envelope(toBinary(WatchJobRequestSchema, create(WatchJobRequestSchema, request)));
  const path = `${JOB_SERVICE}/WatchJob`;
  await load.ask("open", { url: server.url, path, body, watchers, streamsPerConnection: STREAMS_PER_CONNECTION });
  return load;
}

async function newestRevision(server: MusterServer): Promise<string> {
  const rows = await query<{ revision: string }>(server.databaseUrl, "select coalesce(max(revision), 0)::text as revision from events");
  return rows[0]?.revision ?? "0";
}

function eventsAfter(server: MusterServer, revision: string): Promise<Committed[]> {
  const at = "extract(epoch from pg_xact_commit_timestamp(xmin))::float8 * 1000";
  const text = `select revision::float8, job_id as "jobId", ${at} as at from events where revision > $1 order by revision`;
  return query<Committed & Record<string, unknown>>(server.databaseUrl, text, [revision]);
}

export const latency: Line = {
  name: "latency",
  about: "from a commit to the event at the client, beside raw LISTEN/NOTIFY",
  async run(bench) {
    const server = await startMuster(bench, "latency", WAITING);
    const creating = await createContender(bench, server);
    const load = await watch(server, { watchers: 1 });
    let made = 0;
    const ours: Contender = {
      name: "muster",
      processes: { ...creating.processes, load: [load.pid] },
      async round(seconds) {
        const before = await newestRevision(server);
        await load.ask("record");
        const { calls } = await creating.load.ask("run", { ids: { from: made }, seconds, perSecond: PACE });
        made += calls;
        await load.ask("until", { events: made, seconds: 10 });
        const { p50, p99, lost } = await load.ask("verify", await eventsAfter(server, before));
        return { value: p99, p50, p99, lost };
      },
    };
    const raw = await rawListening(bench);
    const rounds = await takeTurns(bench, [ours, raw]);
    for (const each of [load, creating, server, raw]) await each.stop();
    const [own, theirs] = [roundsOf(rounds, ours), roundsOf(rounds, raw)];
    const text = ({ name }: Contender): string => {
      const { p50, p99 } = roundsOf(rounds, { name }).median;
      return `${name} p50 ${p50?.toFixed(2)} ms, p99 ${p99?.toFixed(2)} ms`;
    };
    return [
      {
        what: `commit -> event at the client at ${PACE} events/s, p99`,
        unit: "ms",
        ours: own.median.value,
        baseline: { name: raw.name, value: theirs.median.value },
        bars: [{ of: "ratio", is: "at most", value: 3 }],
        note: `${text(ours)}; ${text(raw)}; from Postgres' own time of the commit, before its flush`,
        detail: Object.fromEntries(rounds),
      },
    ];
  },
};

async function rawListening(bench: Bench): Promise<Contender & { stop(): Promise<void> }> {
  const databaseUrl = await bench.postgres.database("latency_raw");
  const [listener, writer] = [startPart<Listening>("baselines/listen.ts"), startPart<Listening>("baselines/listen.ts")];
  for (const part of [listener, writer]) await part.ask("open", databaseUrl);
  await listener.ask("listen");
  return {
    name: "LISTEN/NOTIFY",
    processes: { server: [listener.pid], load: [writer.pid], postgres: [bench.postgres.pid] },
    async round(seconds) {
      await writer.ask("write", { perSecond: PACE, seconds });
      await delay(100);
      const waits = await listener.ask("waits");
      const [p50, p99] = [percentile(waits, 0.5), percentile(waits, 0.99)];
      return { value: p99, p50, p99 };
    },
    async stop() {
      await Promise.all([listener.stop(), writer.stop()]);
    },
  };
}

const DISJOINT = 1000;

export const watched: Line = {
  name: "watched",
  about: "CreateJob with 1,000 watchers of disjoint domains, beside the same without",
  async run(bench) {
    const number = (i: number): string => `${DOMAIN_PLACE.slice(0, -4)}${String(i).padStart(4, "0")}`;
    const bobs = Array.from({ length: DISJOINT }, (_, i) => [number(i), { approval: "manual" }] as const);
    const settings = { domains: { alice: {}, ...Object.fromEntries(bobs) } };
    const body = createBody({ ...USUAL, domains: ["alice", DOMAIN_PLACE] });
    const begin = async (name: string, watching: Watching | undefined) => {
      const server = await startMuster(bench, `watched_${watching?.watchers ?? 0}`, settings);
      const load = watching && (await watch(server, watching));
      const creating = await createContender(bench, server, { name, body, domains: DISJOINT });
      const processes = { ...creating.processes, ...(load ? { watchers: [load.pid] } : {}) };
      const stop = async (): Promise<void> => {
        for (const each of [creating, ...(load ? [load] : []), server]) await each.stop();
      };
      return { ...creating, processes, watching: load, stop };
    };
    const without = await begin("without watchers", undefined);
    const disjoint = await begin("1,000 watchers of disjoint domains", {
      watchers: DISJOINT,
      request: { domain: DOMAIN_PLACE, skipSnapshot: true },
    });
    const all = await begin("10 watchers of everything", { watchers: 10 });
    const contenders = [without, disjoint, all];
    const rounds = await takeTurns(bench, contenders);
    const heard = await Promise.all([disjoint, all].map(async ({ watching }) => (await watching?.ask("events")) ?? 0));
    for (const each of contenders) await each.stop();
    const row = (contender: Contender) => ({
      what: `CreateJob with ${contender.name}`,
      unit: "jobs/s",
      ours: roundsOf(rounds, contender).median.value,
      baseline: { name: without.name, value: roundsOf(rounds, without).median.value },
      detail: Object.fromEntries(rounds),
    });
    return [
      {
        ...row(disjoint),
        bars: [{ of: "ratio", is: "at least", value: 0.9 }],
        note: `fan-out of one frame per create (${heard[0]} frames came); ${cpuText(roundsOf(rounds, disjoint))}`,
      },
      { ...row(all), note: `fan-out of ten frames per create (${heard[1]} came); for information; ${cpuText(roundsOf(rounds, all))}` },
    ];
  },
};

export const idle: Line = {
  name: "idle",
  about: "memory of 10,000 watchers that nothing happens for",
  async run(bench) {
    const watchers = bench.quick ? 2_000 : 10_000;
    const server = await startMuster(bench, "idle", WAITING);
    const before = await settledBytes(server, bench);
    const load = await watch(server, { watchers, request: {} });
    const after = await settledBytes(server, bench);
    await load.stop();
    await server.stop();
    return [
      {
        what: `${watchers} idle watchers over gRPC, each`,
        unit: "KB",
        ours: (after - before) / watchers / 1000,
        bars: [{ of: "ours", is: "at most", value: 40 }],
        note: `${STREAMS_PER_CONNECTION} streams a connection; resident memory of the server ${mb(before)} MB before, ${mb(after)} MB after`,
        detail: { before, after, watchers },
      },
    ];
  },
};

const EVENTS_PER_SECOND = 200;

export const fanout: Line = {
  name: "fanout",
  about: "1,000 watchers of everything at 200 events/s for a minute: what is lost, how late, how memory goes",
  async run(bench) {
    const seconds = bench.quick ? 8 : 60;
    const server = await startMuster(bench, "fanout", WAITING);
    const creating = await createContender(bench, server);
    const load = await watch(server, { watchers: 1000 });
    // Warm-up at the same pace.
    const warmUp = await creating.load.ask("run", { ids: { from: 0 }, seconds: seconds / 6, perSecond: EVENTS_PER_SECOND });
    await load.ask("until", { events: warmUp.calls * 1000, seconds: 30 });
    const before = await newestRevision(server);
    await load.ask("record");
    const memory: number[] = [];
    const sampling = setInterval(() => memory.push(residentBytes(server.pid)), 500);
    const { rounds: _one, ...usage } = await oneRound(bench, creating, server, load, async () => {
      const { calls } = await creating.load.ask("run", { ids: { from: warmUp.calls }, seconds, perSecond: EVENTS_PER_SECOND });
      await load.ask("until", { events: (warmUp.calls + calls) * 1000, seconds: 30 });
      return calls;
    });
    clearInterval(sampling);
    const committed = await eventsAfter(server, before);
    const { lost, expected, merged, p50, p99, worst } = await load.ask("verify", committed);
    for (const each of [load, creating, server]) await each.stop();
    const half = Math.floor(memory.length / 2);
    const [early, late] = [median(memory.slice(Math.floor(half / 2), half)), median(memory.slice(half + Math.floor(half / 2)))];
    const detail = { seconds, events: committed.length, expected, merged, p50, p99, worst, memory, ...usage };
    return [
      {
        what: `1,000 watchers x ${EVENTS_PER_SECOND} events/s for ${seconds} s, lost events`,
        unit: "events",
        ours: lost,
        bars: [{ of: "ours", is: "at most", value: 0 }],
        note: `of ${expected}; ${merged} frames stood for more than one event; ${usage.text}`,
        detail,
      },
      {
        what: "the same, events that were made",
        unit: "events/s",
        ours: committed.length / seconds,
        bars: [{ of: "ours", is: "at least", value: EVENTS_PER_SECOND * 0.95 }],
        note: "creates at a steady pace; fewer mean that the server did not keep up",
        detail: {},
      },
      {
        what: "the same, commit -> event at the client, p99",
        unit: "ms",
        ours: p99,
        bars: [{ of: "ours", is: "at most", value: 50 }],
        note: `p50 ${p50.toFixed(1)} ms, worst ${worst.toFixed(0)} ms`,
        detail: {},
      },
      {
        what: "the same, resident memory at the end beside the second quarter",
        unit: "MB",
        ours: late / 1e6,
        baseline: { name: "second quarter", value: early / 1e6 },
        bars: [{ of: "ratio", is: "at most", value: 1.1 }],
        note: `medians of the last and the second quarter; slope ${((late - early) / 1e6 / (seconds / 2 / 60)).toFixed(1)} MB a minute`,
        detail: {},
      },
    ];
  },
};

/** What everybody takes of the CPU while something is done once. */
async function oneRound(
  bench: Bench,
  creating: Contender & { load: { pid: number } },
  server: MusterServer,
  watching: { pid: number },
  doIt: () => Promise<number>,
) {
  const contender: Contender = {
    name: "once",
    processes: { server: [server.pid], watchers: [watching.pid], creates: [creating.load.pid], postgres: [bench.postgres.pid] },
    round: async () => ({ value: await doIt() }),
  };
  const rounds = roundsOf(await takeTurns({ ...bench, warmUps: 0, rounds: 1 }, [contender]), contender);
  return { rounds, text: cpuText(rounds) };
}

/** The median of the resident memory over some seconds, so that garbage that is there by chance counts little. */
export async function settledBytes({ pid }: { readonly pid: number }, { quick }: Bench): Promise<number> {
  const samples: number[] = [];
  for (let i = 0; i < (quick ? 8 : 40); i += 1) {
    await delay(500);
    samples.push(residentBytes(pid));
  }
  return median(samples.slice(samples.length / 2));
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
