/** A browser's client: connect-web over fetch, as a page on the server's own origin would use it. */

import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppImageService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { ApproveResult, EventType, JobService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

let database: TestDatabase;
let server: ServerProcess;

beforeAll(async () => {
  database = await createTestDatabase();
  server = await startServerProcess({ databaseUrl: database.url });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  await database.drop();
});

describe.each([
  ["connect", createConnectTransport],
  ["grpc-web", createGrpcWebTransport],
] as const)("connect-web speaking %s", (name, createTransport) => {
  test("leads a job through its life", async () => {
    const transport = createTransport({ baseUrl: server.url });
    const images = createClient(AppImageService, transport);
    const jobs = createClient(JobService, transport);
    const containers = [{ name: "app", command: ["node"], args: ["-e", "setInterval(() => {}, 1000)"] }];
    const image = { name: `web-${name}`, image: { name: "web" }, deployTemplates: [{ name: "main", containers }] };
    expect((await images.createAppImage(image)).status?.code).toBe(0);
    const jobId = `job-${name}`;
    const tasks = [{ alias: "a", appImage: image.name, parties: [{ domainId: "alice" }, { domainId: "bob" }] }];

    expect((await jobs.createJob({ jobId, initiator: "alice", tasks })).status?.code).toBe(0);
    const command = { jobId, reason: "web" };
    /** Each is given once, when the watch first shows what it waits for. */
    const steps: [when: string, give: () => Promise<{ status?: { code: number } | undefined }>][] = [
      ["Running Running", () => jobs.suspendJob(command)],
      ["Suspended Failed", () => jobs.restartJob(command)],
      ["Running Running", () => jobs.stopJob(command)],
      ["Failed Failed", () => jobs.cancelJob(command)],
      ["Cancelled Failed", () => jobs.deleteJob({ jobId })],
    ];
    const leave = new AbortController();
    let last = "";
    for await (const event of jobs.watchJob({}, { signal: leave.signal })) {
      if (event.object?.jobId !== jobId) continue;
      const { state = "", tasks: [task] = [] } = event.object.status ?? {};
      last = `${EventType[event.type]} ${state}`;
      if (event.type === EventType.DELETED) break;
      const [step] = steps;
      if (step?.[0] !== `${state} ${task?.state}`) continue;
      steps.shift();
      expect((await step[1]()).status?.code, step[0]).toBe(0);
    }
    leave.abort();
    expect(steps).toEqual([]);
    expect(last).toBe("DELETED Cancelled");
    expect((await jobs.queryJob({ jobId })).status?.code).toBe(11202);
    expect((await jobs.batchQueryJobStatus({ jobIds: [jobId] })).status?.code).toBe(11203);
    expect((await jobs.approveJob({ jobId, result: ApproveResult.ACCEPT })).status?.code).toBe(11206);
  });
});
