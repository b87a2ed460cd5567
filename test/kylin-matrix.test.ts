/** One job led through both languages on the real product, and followed all the while by a watch. */

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EventType, JobService, type WatchJobEventResponse } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { postJson } from "./front.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

let database: TestDatabase;
let server: ServerProcess;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startServerProcess({ databaseUrl: database.url });
});
afterAll(async () => {
  const exitCode = await server.stop();
  await database.drop();
  expect(exitCode, server.logs()).toBe(0);
});

const JOB = "nightly";

async function kuscia(path: string, request: object): Promise<{ readonly status: { readonly code: number } }> {
  const answer = await postJson(`${server.url}/api/v1/${path}`, request);
  return (await answer.json()) as { readonly status: { readonly code: number } };
}

async function kylin(line: string): Promise<unknown> {
  const [method = "", path = ""] = line.split(" ");
  const headers = { accept: "application/vnd.apache.kylin-v2+json" };
  const answer = await fetch(`${server.url}/kylin/api/jobs${path}`, { method, headers });
  return { status: answer.status, ...((await answer.json()) as object) };
}

test("made by Kuscia, paused by Kylin, resumed by Kuscia, dropped by Kylin, watched throughout", { timeout: 120_000 }, async () => {
  const leave = new AbortController();
  const watch = createClient(JobService, createGrpcTransport({ baseUrl: server.url }));
  const frames = watch.watchJob({}, { signal: leave.signal })[Symbol.asyncIterator]();
  const seen: string[] = [];
  const wordOf = ({ type, object }: WatchJobEventResponse): string =>
    type === EventType.DELETED ? "deleted" : (object?.status?.state ?? "");
  /** Follows the watch up to the first frame in which the job is this; where it runs, its task too, in this attempt. */
  async function watched(word: string, attempt?: number): Promise<void> {
    for (;;) {
      const { done, value } = await frames.next();
      if (done) throw new Error(`the watch ended before the job was ${word}`);
      if (value.object?.jobId !== JOB) continue;
      if (seen.at(-1) !== wordOf(value)) seen.push(wordOf(value));
      const runs = value.object.status?.tasks.every((task) => task.state === "Running" && task.attempt === attempt);
      if (wordOf(value) === word && (word !== "Running" || runs)) return;
    }
  }
  try {
    const command = ["sh", "-c", "echo at work; exec sleep 100"];
    const template = { name: "t", containers: [{ name: "c", command }] };
    expect(await kuscia("appimage/create", { name: "wait", image: { name: "wait" }, deploy_templates: [template] })).toMatchObject({ status: { code: 0 } });
    const task = { alias: "load", app_image: "wait", parties: [{ domain_id: "alice" }] };
    const customFields = { "kylin.type": "refresh", "kylin.project": "learn", "kylin.cube": "sales" };
    const made = { job_id: JOB, initiator: "alice", custom_fields: customFields, tasks: [task] };
    expect(await kuscia("job/create", made)).toMatchObject({ status: { code: 0 } });

    await watched("Running", 1);
    const shown = { uuid: JOB, job_status: "RUNNING", type: "REFRESH", projectName: "learn", related_cube: "sales", exec_interrupt_time: 0 };
    expect(await kylin(`GET /${JOB}`)).toMatchObject({ status: 200, code: "000", data: { ...shown, steps: [{ id: `${JOB}-00`, step_status: "RUNNING" }] } });
    expect(await kylin("GET ?timeFilter=0&status=2&projectName=LEARN")).toMatchObject({ data: { size: 1, jobs: [shown] } });
    expect(await kylin("GET ?timeFilter=0&status=1,4,8,16,32")).toMatchObject({ data: { size: 0, jobs: [] } });
    expect(await kylin(`GET /${JOB}/steps/${JOB}-00/output`)).toMatchObject({ data: { cmd_output: "at work\n" } });
    expect(await kylin(`DELETE /${JOB}/drop`)).toMatchObject({ status: 400, msg: `cannot drop job "${JOB}": it is RUNNING and must be FINISHED or DISCARDED` });

    expect(await kylin(`PUT /${JOB}/pause`)).toMatchObject({ status: 200, data: { job_status: "STOPPED", steps: [{ step_status: "STOPPED" }] } });
    await watched("Suspended");
    expect(await kuscia("job/restart", { job_id: JOB })).toMatchObject({ status: { code: 0 } });
    await watched("Running", 2);
    const again = (await kylin(`GET /${JOB}`)) as { readonly data: { readonly exec_interrupt_time: number } };
    expect(again).toMatchObject({ data: { job_status: "RUNNING" } });
    expect(again.data.exec_interrupt_time).toBeGreaterThan(0);

    expect(await kylin(`PUT /${JOB}/pause`)).toMatchObject({ data: { job_status: "STOPPED" } });
    // It waits until the process has ended.
    expect(await kylin(`PUT /${JOB}/resume`)).toMatchObject({ data: { job_status: "PENDING" } });
    // Between the two the job was Suspended, for so short a time that a watcher may get both changes as one.
    await watched("Running", 3);
    expect(await kylin(`PUT /${JOB}/cancel`)).toMatchObject({ data: { job_status: "DISCARDED", steps: [{ step_status: "DISCARDED" }] } });
    await watched("Cancelled");
    expect(await kylin(`DELETE /${JOB}/drop`)).toMatchObject({ status: 200, data: { uuid: JOB, job_status: "DISCARDED", progress: 0 } });
    await watched("deleted");
    expect(await kuscia("job/query", { job_id: JOB })).toMatchObject({ status: { code: 11202 } });
    expect(await kylin(`DELETE /${JOB}/drop`)).toMatchObject({ status: 404, code: "999" });
    expect(seen.join(" ")).toMatch(/^Running Suspended Running (Suspended Running )?Cancelled deleted$/);
  } finally {
    leave.abort();
  }
});
