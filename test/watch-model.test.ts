/**
 * The contract of WatchJob over several server processes on one database: thousands of random commands through any server,
 * while watchers connect to any server, drop off, and go on where they were. For every watcher, the frames of each job tile
 * its revisions: each event of the history is in exactly one frame, in order, and the last frame is how the job ended up.
 */

import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  ApproveResult,
  EventType,
  JobService,
  type WatchJobEventResponse,
} from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { groupBy } from "../src/store/rows.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const SERVERS = 3;
const COMMANDS = 2_000;
const WATCHERS = 6;
const IMAGE = "noop";

let database: TestDatabase;
let servers: ServerProcess[];
let db: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  servers = await Promise.all(
    // Bob is asked about every job and never answers, so nothing runs: the moves are the commands' alone.
    Array.from({ length: SERVERS }, () => startServerProcess({ databaseUrl: database.url, args: ["--config", "test/fixtures/manual-bob.yaml"] })),
  );
  db = new pg.Client({ connectionString: database.url });
  await db.connect();
  const image = {
    name: IMAGE,
    image: { name: "example/noop", tag: "1" },
    deploy_templates: [{ name: "main", replicas: 1, containers: [{ name: "app", command: ["true"] }] }],
  };
  const made = await fetch(`${servers[0]?.url}/api/v1/appimage/create`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(image),
  });
  expect(((await made.json()) as { status: { code: number } }).status.code).toBe(0);
}, 60_000);
afterAll(async () => {
  await db.end();
  await Promise.all(servers.map((server) => server.stop()));
  await database.drop();
});

/** Repeatable choices: a fault that was found can be looked for again. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

type Client = ReturnType<typeof clientOf>;
function clientOf(url: string, kind: "grpc" | "connect") {
  const transport =
    kind === "grpc" ? createGrpcTransport({ baseUrl: url }) : createConnectTransport({ baseUrl: url, httpVersion: "1.1" });
  return createClient(JobService, transport);
}

async function command(client: Client, roll: (sides: number) => number, jobIds: string[], next: () => string): Promise<void> {
  const jobId = jobIds[roll(jobIds.length)] ?? "";
  const which = jobId === "" ? 0 : roll(8);
  if (which <= 2) {
    const made = next();
    const parties = ["alice", "bob"].map((domainId) => ({ domainId }));
    const answer = await client.createJob({ jobId: made, initiator: "alice", tasks: [{ alias: "a", appImage: IMAGE, parties }] });
    expect(answer.status?.code).toBe(0);
    jobIds.push(made);
  } else if (which === 3) await client.stopJob({ jobId });
  else if (which === 4) await client.restartJob({ jobId });
  else if (which === 5) await client.cancelJob({ jobId });
  else if (which === 6) await client.approveJob({ jobId, result: ApproveResult.REJECT });
  else await client.deleteJob({ jobId });
}

interface Seen {
  frames: { readonly from: bigint; readonly to: bigint; readonly type: EventType; readonly state: string }[];
  /** What the snapshot showed, if the job was there. */
  snapshot: { readonly revision: bigint; readonly state: string } | undefined;
}

/** Watches on and off, at one server after another, until everything up to `end()` has been told. */
async function watchOnAndOff(number: number, end: () => bigint | undefined): Promise<{ jobs: Map<string, Seen>; breaks: number }> {
  const roll = dice(number + 100);
  const jobs = new Map<string, Seen>();
  let reached = 0n;
  let breaks = 0;
  for (;;) {
    const client = clientOf(servers[roll(SERVERS)]?.url ?? "", number % 3 === 0 ? "connect" : "grpc");
    const leave = new AbortController();
    // Now and then a snapshot breaks off; most are seen to their end.
    let left = 1 + roll(60) + (reached === 0n && roll(3) > 0 ? COMMANDS : 0);
    // What was seen of a snapshot that broke off counts for nothing.
    if (reached === 0n) jobs.clear();
    // What was told out of turn, and nothing in turn after it, is told again.
    for (const seen of jobs.values()) seen.frames = seen.frames.filter((frame) => frame.to <= reached);
    try {
      for await (const event of client.watchJob({ resumeRevision: reached }, { signal: leave.signal })) {
        expect(event.type).not.toBe(EventType.ERROR);
        if (event.revision > 0n) {
          expect(event.revision).toBeGreaterThanOrEqual(reached);
          reached = event.revision;
        }
        note(jobs, event);
        const last = end();
        if (last !== undefined && reached >= last) return { jobs, breaks };
        left -= 1;
        if (left === 0) leave.abort();
      }
    } catch (error) {
      if (!leave.signal.aborted) throw error;
      breaks += 1;
    }
  }
}

function note(jobs: Map<string, Seen>, event: WatchJobEventResponse): void {
  const { object, type } = event;
  if (!object) return;
  const seen = jobs.get(object.jobId) ?? { frames: [], snapshot: undefined };
  jobs.set(object.jobId, seen);
  const state = object.status?.state ?? "";
  if (event.coalescedFrom === 0n) seen.snapshot = { revision: event.snapshotRevision, state };
  else seen.frames.push({ from: event.coalescedFrom, to: event.revision || event.snapshotRevision, type, state });
}

test("what watchers see is the history, whenever and wherever they connect", async () => {
  const clients = servers.map(({ url }) => clientOf(url, "grpc"));
  const end: { revision?: bigint } = {};
  const watching = Array.from({ length: WATCHERS }, (_, i) => watchOnAndOff(i, () => end.revision));

  let made = 0;
  const jobIds: string[] = [];
  await Promise.all(
    clients.flatMap((client, i) =>
      Array.from({ length: 6 }, async (_, lane) => {
        const roll = dice(i * 10 + lane);
        for (let n = 0; n < COMMANDS / SERVERS / 6; n++) {
          await command(client, roll, jobIds, () => `m-${(made += 1)}`);
          if (roll(200) > 0) continue;
          await db.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'muster listen' and datname = current_database()");
        }
      }),
    ),
  );
  // One more change of each server, so that the end of the history reaches everyone.
  for (const client of clients) await client.createJob({ jobId: `end-${clients.indexOf(client)}`, initiator: "alice", tasks: [{ alias: "a", appImage: IMAGE, parties: [{ domainId: "alice" }, { domainId: "bob" }] }] });
  const { rows: events } = await db.query<{ revision: string; job_id: string }>("select revision, job_id from events order by revision");
  const { rows: present } = await db.query<{ job_id: string; state: string }>("select job_id, state from jobs");
  end.revision = BigInt(events.at(-1)?.revision ?? 0);
  const history = groupBy(events, (event) => event.job_id);
  const stateNow = new Map(present.map((row) => [row.job_id, row.state]));
  expect(events.length).toBeGreaterThan(COMMANDS / 2);

  let breaks = 0;
  for (const { jobs, ...watcher } of await Promise.all(watching)) {
    breaks += watcher.breaks;
    for (const [jobId, rows] of history) {
      const seen = jobs.get(jobId);
      // Gone before its page of the snapshot was read.
      if (!seen && !stateNow.has(jobId)) continue;
      // A job that no snapshot showed was made later: all of it is told.
      const covered = seen?.snapshot?.revision ?? 0n;
      const told = rows.map(({ revision }) => BigInt(revision)).filter((revision) => revision > covered);
      const frames = seen?.frames.filter((frame) => frame.to > covered) ?? [];
      for (const revision of told) {
        const tiles = frames.filter((frame) => frame.from <= revision && revision <= frame.to);
        expect(tiles, `frames of ${jobId} with revision ${revision}`).toHaveLength(1);
      }
      frames.reduce((before, frame) => {
        expect(frame.from).toBeGreaterThan(before);
        return frame.to;
      }, covered);
      const final = frames.at(-1);
      if (final && !stateNow.has(jobId)) expect(final.type).toBe(EventType.DELETED);
      if (stateNow.has(jobId)) expect(final?.state ?? seen?.snapshot?.state).toBe(stateNow.get(jobId));
    }
  }
  expect(breaks).toBeGreaterThan(WATCHERS);
}, 120_000);
