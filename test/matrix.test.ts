/**
 * Every call over every protocol against one server process. First each protocol leads a job of its own through the
 * same life: codes and messages must be the same on all of them. Then a job that was written over one protocol is read
 * over each other one.
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppImageService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import {
  ApproveResult,
  type CreateJobRequestSchema,
  EventType,
  JobService,
  type JobStatus,
  JobStatusSchema,
  type WatchJobEventResponse,
  WatchJobEventResponseSchema,
  WatchJobRequestSchema,
} from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { readLines, TRANSPORTS } from "./front.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";
import { type Caller, CALLERS } from "./surfaces/kuscia/callers.js";

const job = JobService.method;
const NAMES = CALLERS.map(([name]) => name);

let folder: string;
let database: TestDatabase;
let server: ServerProcess;
let callers: ReadonlyMap<string, Caller>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-matrix-"));
  const settings = join(folder, "muster.yaml");
  await writeFile(settings, JSON.stringify({ domains: { alice: null, carol: { approval: "manual" } } }));
  database = await createTestDatabase();
  server = await startServerProcess({ databaseUrl: database.url, args: ["--config", settings] });
  callers = new Map(CALLERS.map(([name, callerOf]) => [name, callerOf(server.url)]));
  const { status } = await callerNamed("gRPC")(AppImageService.method.createAppImage, {
    name: "wait",
    image: { name: "example/wait" },
    deployTemplates: [{ name: "wait", containers: [{ name: "wait", command: ["sleep", "120"] }] }],
  });
  expect(status?.code, status?.message).toBe(0);
});

afterAll(async () => {
  const exitCode = await server.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
  expect(exitCode, server.logs()).toBe(0);
});

describe("a job's life has the same answers", () => {
  let expected: readonly Answer[];
  beforeAll(async () => {
    expected = await leadLife("REST JSON", "life-first");
  });

  test("and has every call", () => {
    const made = new Set(expected.map((answer) => answer.call));
    expect(made).toEqual(new Set(JobService.methods.map((method) => method.name)));
  });

  test.each(NAMES)("over %s", async (name) => {
    expect(await leadLife(name, `life-${NAMES.indexOf(name)}`)).toEqual(expected);
  });
});

test("the numbers of schedule_config that hold are shown, and change nothing about repeats", async () => {
  const task = { alias: "a", appImage: "wait", parties: [{ domainId: "carol" }] };
  const some = { taskTimeoutSeconds: 100, resourceReservedSeconds: -1 };
  for (const [jobId, asked, taskTimeoutSeconds] of [["timed-none", {}, 300], ["timed-some", { scheduleConfig: some }, 100]] as const) {
    const request = { jobId, initiator: "alice", tasks: [{ ...task, ...asked }] };
    for (const call of callers.values()) {
      expect((await call(job.createJob, request)).status).toMatchObject({ code: 0, message: "success" });
      const { data } = await call(job.queryJob, { jobId });
      const numbers = { taskTimeoutSeconds, resourceReservedSeconds: 30, resourceReallocationIntervalSeconds: 30 };
      expect(data?.tasks[0]?.scheduleConfig).toMatchObject(numbers);
    }
  }
});

/** A response, or the status in a frame of WatchJob. */
interface Answer {
  readonly call: string;
  readonly message: unknown;
}

async function leadLife(name: string, jobId: string): Promise<Answer[]> {
  const answers: Answer[] = [];
  const call = async <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    code: number,
  ): Promise<void> => {
    const answer = await callerNamed(name)(method, request);
    const message = comparable(toJson(method.output, answer, { alwaysEmitImplicit: true }), jobId);
    expect(message, method.name).toMatchObject({ status: { code } });
    answers.push({ call: method.name, message });
  };
  /** Keeps the first frame in which the job is in this state and its tasks are too. */
  const reaches = async (state: string): Promise<void> => {
    for await (const { object } of watch(name)) {
      const tasks = object?.status?.tasks.flatMap((task) => [task, ...task.parties]) ?? [];
      const settled = state !== "Running" || tasks.every((each) => each.state === "Running");
      if (object?.jobId !== jobId || object.status?.state !== state || !settled) continue;
      const message = comparable(toJson(JobStatusSchema, object, { alwaysEmitImplicit: true }), jobId);
      answers.push({ call: "WatchJob", message });
      return;
    }
  };
  const request = { jobId, reason: "as the test says" };
  await call(job.createJob, jobOf(jobId), 0);
  await call(job.createJob, jobOf(jobId), 0);
  await call(job.createJob, { ...jobOf(jobId), maxParallelism: 3 }, 11201);
  await call(job.createJob, { ...jobOf(jobId), tasks: [] }, 11100);
  await call(job.queryJob, request, 0);
  await call(job.queryJob, { jobId: "no-such-job" }, 11202);
  await call(job.batchQueryJobStatus, { jobIds: [jobId, jobId] }, 0);
  await call(job.batchQueryJobStatus, { jobIds: ["no-such-job", jobId] }, 11203);
  await call(job.batchQueryJobStatus, {}, 11100);
  await call(job.suspendJob, request, 11210);
  await call(job.restartJob, request, 11211);
  await call(job.approveJob, request, 11100);
  await call(job.approveJob, { ...request, result: ApproveResult.ACCEPT }, 0);
  await call(job.approveJob, { ...request, result: ApproveResult.ACCEPT }, 0);
  await call(job.approveJob, { ...request, result: ApproveResult.REJECT }, 11206);
  await reaches("Running");
  await call(job.suspendJob, request, 0);
  await reaches("Suspended");
  await call(job.suspendJob, request, 0);
  await call(job.restartJob, request, 0);
  await reaches("Running");
  await call(job.stopJob, request, 0);
  await reaches("Failed");
  await call(job.stopJob, request, 0);
  await call(job.queryJob, request, 0);
  await call(job.cancelJob, request, 0);
  await call(job.cancelJob, request, 0);
  await call(job.stopJob, request, 11205);
  await call(job.deleteJob, request, 0);
  await call(job.deleteJob, request, 11204);
  await call(job.suspendJob, request, 11207);
  await call(job.restartJob, request, 11208);
  await call(job.cancelJob, request, 11209);
  await call(job.queryJob, request, 11202);
  return answers;
}

describe("a job that was written over one protocol", () => {
  /** Per protocol of writing, the job as its author sees it. */
  const written = new Map<string, JobStatus>();
  const seen = new Map<string, ReadonlyMap<string, JobStatus>>();

  beforeAll(async () => {
    for (const name of NAMES) {
      await callerNamed(name)(job.createJob, jobOf(idOf(name)));
      const { data } = await callerNamed(name)(job.queryJob, { jobId: idOf(name) });
      if (!data?.status) throw new Error(`no job over ${name}`);
      written.set(name, create(JobStatusSchema, { jobId: data.jobId, status: data.status }));
    }
    for (const name of NAMES) seen.set(name, await presentJobs(name));
  });

  const pairs = NAMES.flatMap((writer) => NAMES.map((reader) => [writer, reader])).filter(([a, b]) => a !== b);

  test.each(pairs)("%s is the same over %s", async (writer = "", reader = "") => {
    const call = callerNamed(reader);
    const jobId = idOf(writer);
    const expected = written.get(writer);
    expect(expected?.status?.state).toBe("AwaitingApproval");
    expect(seen.get(reader)?.get(jobId)).toEqual(expected);
    const one = await call(job.queryJob, { jobId });
    expect(one.data?.status).toEqual(expected?.status);
    expect(one.data?.tasks[0]?.parties[0]?.bandwidthLimits[0]?.limitKbps).toBe(18446744073709551615n);
    const batch = await call(job.batchQueryJobStatus, { jobIds: [jobId] });
    expect(batch.data?.jobs).toEqual([expected]);
  });

  test("and is changed over the others is followed over all", { timeout: 60_000 }, async () => {
    const watches = NAMES.map((name) => ({ name, frames: watch(name)[Symbol.asyncIterator]() }));
    /** The next frame about the job on every watch; they must be alike. */
    const next = async (jobId: string): Promise<WatchJobEventResponse> => {
      const isOfJob = (frame: WatchJobEventResponse): boolean => frame.object?.jobId === jobId;
      const frames = await Promise.all(watches.map((each) => find(each.frames, isOfJob)));
      for (const [i, frame] of frames.entries()) expect(frame, watches[i]?.name).toEqual(frames[0]);
      const [frame] = frames;
      if (!frame) throw new Error("there are no watches");
      return frame;
    };
    await Promise.all(watches.map(({ frames }) => find(frames, isHeartbeat)));
    for (const [i, writer] of NAMES.entries()) {
      const jobId = `${idOf(writer)}-changed`;
      const other = callerNamed(NAMES[(i + 1) % NAMES.length] ?? "");
      await callerNamed(writer)(job.createJob, jobOf(jobId));
      const waiting = { state: "AwaitingApproval" };
      expect(await next(jobId)).toMatchObject({ type: EventType.ADDED, object: { status: waiting } });
      await other(job.cancelJob, { jobId, reason: writer });
      const status = { state: "Cancelled", errMsg: `cancelled by master: ${writer}` };
      expect(await next(jobId)).toMatchObject({ type: EventType.MODIFIED, object: { status } });
      await other(job.deleteJob, { jobId });
      expect(await next(jobId)).toMatchObject({ type: EventType.DELETED, object: { status } });
    }
    for (const { frames } of watches) await frames.return(undefined);
  });
});

function callerNamed(name: string): Caller {
  const caller = callers.get(name);
  if (!caller) throw new Error(`there is no caller "${name}"`);
  return caller;
}

function idOf(name: string): string {
  return `from-${NAMES.indexOf(name)}`;
}

/** It waits for carol's approval, and has a value of every kind that JSON and protobuf write differently. */
function jobOf(jobId: string): MessageInitShape<typeof CreateJobRequestSchema> {
  return {
    jobId,
    initiator: "alice",
    maxParallelism: 2,
    customFields: { team: "a" },
    tasks: [
      {
        alias: "wait, für alle ✓",
        taskId: `${jobId}-task`,
        appImage: "wait",
        taskInputConfig: '{"a":"\\n"}',
        priority: -1,
        scheduleConfig: { taskTimeoutSeconds: 100 },
        parties: [
          { domainId: "alice", bandwidthLimits: [{ destinationId: "carol", limitKbps: 18446744073709551615n }] },
          { domainId: "carol", role: "guest", resources: { cpu: "1m" } },
        ],
      },
    ],
  };
}

/** A message of the job without what differs from job to job: its name, the hash over it, and when things happened. */
function comparable(message: JsonValue, jobId: string): unknown {
  const named = JSON.stringify(message).replaceAll(jobId, "JOB");
  const text = named.replaceAll(/"[0-9a-f]{64}"/g, '"a hash"');
  return JSON.parse(text.replaceAll(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/g, '"a time"'));
}

/** WatchJob over the protocol of a caller; leaving the loop ends the call. */
async function* watch(name: string): AsyncGenerator<WatchJobEventResponse, void, undefined> {
  const end = new AbortController();
  const { signal } = end;
  try {
    const transport = TRANSPORTS[name];
    if (transport) yield* createClient(JobService, transport(server.url)).watchJob({}, { signal });
    else yield* restWatch(name === "REST protobuf", signal);
  } finally {
    end.abort();
  }
}

/** Frames are JSON whatever the request was. */
async function* restWatch(asProtobuf: boolean, signal: AbortSignal): AsyncGenerator<WatchJobEventResponse> {
  const request = create(WatchJobRequestSchema, { timeoutSeconds: 100n });
  const [type, body] = asProtobuf
    ? ["application/x-protobuf", toBinary(WatchJobRequestSchema, request)]
    : ["application/json", JSON.stringify(toJson(WatchJobRequestSchema, request))];
  const headers = { "content-type": type, "muster-extensions": "1" };
  const answer = await fetch(`${server.url}/api/v1/job/watch`, { method: "POST", headers, body, signal });
  // What JSON.parse gives is JSON.
  for await (const line of readLines(answer)) yield fromJson(WatchJobEventResponseSchema, line as JsonValue);
}

function isHeartbeat({ type }: WatchJobEventResponse): boolean {
  return type === EventType.HEARTBEAT;
}

async function find(
  frames: AsyncIterator<WatchJobEventResponse>,
  wanted: (frame: WatchJobEventResponse) => boolean,
): Promise<WatchJobEventResponse> {
  for (;;) {
    const { done, value } = await frames.next();
    if (done) throw new Error("the watch ended before the frame that was waited for");
    if (wanted(value)) return value;
  }
}

/** The jobs that a watch begins with, by name. */
async function presentJobs(name: string): Promise<ReadonlyMap<string, JobStatus>> {
  const jobs = new Map<string, JobStatus>();
  for await (const frame of watch(name)) {
    if (isHeartbeat(frame)) break;
    if (frame.object) jobs.set(frame.object.jobId, frame.object);
  }
  return jobs;
}
