/**
 * `muster demo`: a server of its own, the two-party example job on it, and a live picture from WatchJob until the job ends.
 * It is a client like any other: what it knows comes over gRPC.
 */

import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { fromJson } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  type CreateJobRequest,
  CreateJobRequestSchema,
  EventType,
  JobService,
  type JobStatusDetail,
} from "../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { LogsService } from "../../gen/muster/v1/logs_pb.js";
import { Screen } from "./demo/picture.js";
import { type DemoServer, startDemoServer } from "./demo/server.js";
import { packageFile } from "./package.js";
import { askedToEnd, type EndSignal, exitCodeOf } from "./signals.js";

const ENDED = new Set(["Succeeded", "Failed", "Cancelled", "ApprovalReject"]);
const NOT_FOUND = "NotFound";

/** How long a demo that leaves early waits for the processes of its job. The runner kills them long before. */
const JOB_END_MS = 15_000;

/** Ends with 0 where the job Succeeded, else 1; after a signal with 128 and its number, leaving no process behind. */
export async function demo(dataDirectory: string): Promise<void> {
  const signalled = askedToEnd(["SIGINT", "SIGTERM", "SIGHUP"]);
  // A terminal or pipe that has gone is no reason to leave processes behind.
  process.stdout.on("error", () => undefined);
  const request = fromJson(CreateJobRequestSchema, JSON.parse(await readFile(packageFile("examples/psi/request.json"), "utf8")));
  const server = await startDemoServer(dataDirectory, packageFile("examples/psi"));
  const leaving = new AbortController();
  const show = present(server, request, leaving.signal);
  let signal: EndSignal | undefined;
  try {
    const ending = await Promise.race([signalled, show]);
    if (typeof ending === "string") {
      signal = ending;
      console.log("\nending the job and its server");
      leaving.abort();
      // Settled first, so that no CreateJob is still on its way when the job is removed.
      await show.catch(() => undefined);
      await endJob(server, request.jobId);
    } else process.exitCode = ending.succeeded ? 0 : 1;
  } catch (error) {
    await endJob(server, request.jobId);
    throw error;
  } finally {
    await server.stop();
  }
  if (signal !== undefined) process.exit(exitCodeOf(signal));
}

async function present(
  server: DemoServer,
  request: CreateJobRequest,
  leaving: AbortSignal,
): Promise<{ readonly succeeded: boolean }> {
  console.log(`Muster serves on ${server.url} (gRPC, Connect and REST on one port; log in ${shown(server.logFile)})`);
  await prepareTables(server);
  return { succeeded: await runJob(server, request, leaving) };
}

/** A server lets running jobs go on when it stops; the demo's has no next start to do so for. */
async function endJob(server: DemoServer, jobId: string): Promise<void> {
  const jobs = createClient(JobService, createGrpcTransport({ baseUrl: server.url }));
  await removeJob(jobs, jobId, AbortSignal.timeout(JOB_END_MS)).catch((error: unknown) => {
    console.error(`the job did not end: ${error instanceof Error ? error.message : String(error)}`);
  });
}

interface Prepared {
  readonly aliceRows: number;
  readonly bobRows: number;
  readonly sharedKeys: number;
}

async function prepareTables(server: DemoServer): Promise<void> {
  // The example is plain JavaScript outside the compiled program, so its shape is stated here.
  const example = (await import(pathToFileURL(packageFile("examples/psi/prepare.mjs")).href)) as {
    prepareData(alice: string, bob: string): Promise<Prepared>;
  };
  const { aliceRows, bobRows } = await example.prepareData(server.domainFolder("alice"), server.domainFolder("bob"));
  console.log(`alice has ${aliceRows} airports, bob has ${bobRows}; neither will see the other's table\n`);
}

/** Submits the request and follows it to its end. True where it Succeeded. */
async function runJob(server: DemoServer, request: CreateJobRequest, leaving: AbortSignal): Promise<boolean> {
  const transport = createGrpcTransport({ baseUrl: server.url });
  const jobs = createClient(JobService, transport);
  // The job of an earlier run goes first, so that the name is free.
  await removeJob(jobs, request.jobId, leaving);
  leaving.throwIfAborted();
  const created = await jobs.createJob(request);
  if (created.status?.code !== 0) throw new Error(`the job was refused: ${created.status?.message ?? "no status"}`);
  const last = await follow(jobs, request, leaving);
  if (last.state === "Succeeded") {
    await showResults(server);
    return true;
  }
  console.log(`\nThe job is ${last.state}: ${last.errMsg}`);
  const { logs } = await createClient(LogsService, transport).getTaskLogs({ jobId: request.jobId, tailBytes: 4096 });
  for (const log of logs.filter((each) => each.state !== "Succeeded")) {
    console.log(`\n--- log of ${log.taskAlias} at ${log.domainId} (attempt ${log.attempt}, ${log.state})\n${log.text.trimEnd()}`);
  }
  return false;
}

/** Deletes the job where there is one, and waits until it is gone, which it is once its last process has ended. */
async function removeJob(jobs: Client<typeof JobService>, jobId: string, signal: AbortSignal): Promise<void> {
  const removed = await jobs.deleteJob({ jobId }, { signal });
  if (removed.status?.reason === NOT_FOUND) return;
  while ((await jobs.queryJob({ jobId }, { signal })).status?.code === 0) await delay(100);
}

async function follow(
  jobs: Client<typeof JobService>,
  request: CreateJobRequest,
  signal: AbortSignal,
): Promise<JobStatusDetail> {
  const screen = new Screen(request.jobId);
  for await (const event of jobs.watchJob({ timeoutSeconds: 600n }, { signal })) {
    if (event.type === EventType.ERROR) throw new Error("the watch ended with an error");
    const status = event.object?.jobId === request.jobId ? event.object.status : undefined;
    if (!status) continue;
    screen.draw(status);
    if (ENDED.has(status.state)) return status;
  }
  throw new Error("the watch ended before the job did");
}

async function showResults(server: DemoServer): Promise<void> {
  console.log("");
  for (const domain of ["alice", "bob"]) {
    const folder = server.domainFolder(domain);
    const outputs = (await readdir(folder)).filter((name) => /^(psi-output|train-dataset|test-dataset)\.csv$/.test(name));
    for (const name of outputs.sort()) console.log(`${domain.padEnd(6)} ${shown(join(folder, name))}`);
  }
  const report = join(server.domainFolder("alice"), "psi-output.report.json");
  if (!existsSync(report)) return;
  const { intersection_size: size }: { intersection_size: number } = JSON.parse(await readFile(report, "utf8"));
  console.log(`\nintersection size: ${size}`);
}

function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith("..") ? path : short;
}
