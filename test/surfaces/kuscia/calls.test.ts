import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AppImageService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import {
  ApproveResult,
  type CreateJobRequestSchema,
  JobService,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { definitionOf, viewOf } from "../../fakes.js";
import { type Front, MASTER, startFront } from "../../front.js";
import { type Caller, CALLERS } from "./callers.js";

const job = JobService.method;
const image = AppImageService.method;

let front: Front;
beforeAll(async () => {
  front = await startFront();
});
afterAll(() => front.server.stop());
beforeEach(() => {
  front.jobs.failure = undefined;
  front.jobs.calls.length = 0;
  front.jobs.views.clear();
  front.images.images.clear();
  front.logged.length = 0;
});

const createRequest: MessageInitShape<typeof CreateJobRequestSchema> = {
  jobId: "job-1",
  initiator: "alice",
  maxParallelism: 3,
  customFields: { team: "a" },
  scheduleMode: "Strict",
  requestId: "request-1",
  tasks: [
    {
      appImage: "psi-image",
      alias: "psi",
      taskId: "t-1",
      dependencies: ["other"],
      taskInputConfig: '{"a":1}',
      priority: 5,
      tolerable: true,
      retry: { maxAttempts: 3, backoffSeconds: 10 },
      runTimeoutSeconds: 60,
      scheduleConfig: { taskTimeoutSeconds: 1, resourceReservedSeconds: 2, resourceReallocationIntervalSeconds: 3 },
      parties: [
        {
          domainId: "alice",
          role: "guest",
          resources: { cpu: "1", memory: "2Gi", bandwidth: "3" },
          bandwidthLimits: [{ destinationId: "bob", limitKbps: 18446744073709551615n }],
        },
        { domainId: "bob" },
      ],
    },
  ],
};

describe.each(CALLERS)("over %s", (_name, callerOf) => {
  const call: Caller = (method, request) => callerOf(front.url)(method, request);

  it("a job is created and comes back as it was asked for", async () => {
    const created = await call(job.createJob, createRequest);
    expect(created).toMatchObject({ status: { code: 0, message: "success", details: [] }, data: { jobId: "job-1" } });
    expect(front.jobs.last("submit")).toEqual([
      {
        surface: "kuscia",
        requestId: "request-1",
        definition: {
          jobId: "job-1",
          initiator: "alice",
          maxParallelism: 3,
          scheduleMode: "Strict",
          customFields: { team: "a" },
          tasks: [
            {
              alias: "psi",
              taskId: "t-1",
              appImage: "psi-image",
              dependencies: ["other"],
              inputConfig: '{"a":1}',
              priority: 5,
              tolerable: true,
              retry: { maxAttempts: 3, backoffSeconds: 10 },
              runTimeoutSeconds: 60,
              schedule: { taskTimeoutSeconds: 1, resourceReservedSeconds: 2, resourceReallocationIntervalSeconds: 3 },
              parties: [
                {
                  domain: "alice",
                  role: "guest",
                  resources: { cpu: "1", memory: "2Gi", bandwidth: "3" },
                  bandwidthLimits: [{ destination: "bob", kbps: "18446744073709551615" }],
                },
                { domain: "bob", role: "", resources: null, bandwidthLimits: [] },
              ],
            },
          ],
        },
      },
      MASTER,
    ]);

    const { status, data } = await call(job.queryJob, { jobId: "job-1" });
    expect(status).toMatchObject({ code: 0, message: "success", reason: "", domain: "", metadata: {} });
    const { alias, taskId, appImage, dependencies, taskInputConfig, priority, scheduleConfig, parties } =
      createRequest.tasks?.[0] ?? {};
    expect(data).toMatchObject({
      jobId: "job-1",
      initiator: "alice",
      maxParallelism: 3,
      customFields: { team: "a" },
      tasks: [{ alias, taskId, appImage, dependencies, taskInputConfig, priority, scheduleConfig, parties }],
      status: { state: "Pending", createTime: "2026-01-02T03:04:05Z", startTime: "", endTime: "" },
    });
    expect(data?.tasks[0]?.parties[1]?.resources).toBeUndefined();
  });

  it("each command reaches the engine with its reason", async () => {
    front.jobs.views.set("job-1", viewOf(definitionOf("job-1")));
    const request = { jobId: "job-1", reason: "why" };
    for (const [method, verb, options] of [
      [job.stopJob, "Stop", undefined],
      [job.suspendJob, "Suspend", { onlyFrom: ["Running"] }],
      [job.restartJob, "Restart", undefined],
      [job.cancelJob, "Cancel", undefined],
    ] as const) {
      const answer = await call<DescMessage, DescMessage>(method, request);
      expect(answer).toMatchObject({ status: { code: 0 }, data: { jobId: "job-1" } });
      expect(front.jobs.last(verb)).toEqual(["job-1", MASTER, "why", options]);
    }
    for (const [result, decision] of [
      [ApproveResult.ACCEPT, "JobAccepted"],
      [ApproveResult.REJECT, "JobRejected"],
    ] as const) {
      expect(await call(job.approveJob, { ...request, result })).toMatchObject({ data: { jobId: "job-1" } });
      expect(front.jobs.last("approve")).toEqual(["job-1", { decision, reason: "why" }, MASTER]);
    }
    await call(job.approveJob, { ...request, result: ApproveResult.ACCEPT, contentHash: "ab" });
    expect(front.jobs.last("approve")?.[1]).toMatchObject({ contentHash: "ab" });
    expect(await call(job.deleteJob, { jobId: "job-1" })).toMatchObject({
      status: { code: 0 },
      data: { jobId: "job-1" },
    });
    expect(front.jobs.last("Delete")).toEqual(["job-1", MASTER, "", undefined]);
  });

  it("a batch gives what is there and names what is not", async () => {
    for (const jobId of ["job-1", "job-2"]) front.jobs.views.set(jobId, viewOf(definitionOf(jobId)));
    const all = await call(job.batchQueryJobStatus, { jobIds: ["job-2", "job-1"] });
    expect(all.status?.code).toBe(0);
    expect(all.data?.jobs.map((each) => each.jobId)).toEqual(["job-2", "job-1"]);

    const some = await call(job.batchQueryJobStatus, { jobIds: ["no-1", "job-1", "no-2"] });
    expect(some.status).toMatchObject({
      code: 11203,
      message: 'jobs "no-1", "no-2" not found',
      reason: "NotFound",
      domain: "muster",
      metadata: { job_ids: "no-1,no-2" },
    });
    expect(some.data?.jobs.map((each) => each.jobId)).toEqual(["job-1"]);
  });

  it("a refusal has a code, a reason, and no data", async () => {
    const answer = await call(job.queryJob, { jobId: "nobody" });
    expect(answer.status).toMatchObject({
      code: 11202,
      message: 'job "nobody" not found',
      details: [],
      reason: "NotFound",
      domain: "muster",
      metadata: { job_id: "nobody" },
    });
    expect(answer.data).toBeUndefined();
  });

  it("app images are kept, changed, listed and removed", async () => {
    const deployTemplates = [{ name: "t", replicas: 1, containers: [{ name: "c", command: ["run"] }] }];
    const request = { name: "img", image: { name: "repo/app", tag: "1" }, deployTemplates };
    expect(await call(image.createAppImage, request)).toMatchObject({ status: { code: 0 } });
    expect((await call(image.createAppImage, request)).status?.code).toBe(13106);
    expect((await call(image.queryAppImage, { name: "img" })).data).toMatchObject(request);

    const changed = { name: "img", image: { name: "repo/app", tag: "2" }, configTemplates: { f: "text" } };
    expect((await call(image.updateAppImage, changed)).status?.code).toBe(0);
    const { data } = await call(image.batchQueryAppImage, { names: ["img"] });
    expect(data).toMatchObject([{ ...changed, deployTemplates }]);

    await call(image.createAppImage, { ...request, name: "other" });
    const first = await call(image.listAppImage, { pageSize: 1n });
    expect(first.data?.appimageList.map((each) => each.name)).toEqual(["img"]);
    const rest = await call(image.listAppImage, { pageToken: first.data?.nextPageToken ?? "" });
    expect(rest.data).toMatchObject({ appimageList: [{ name: "other" }], nextPageToken: "" });

    expect((await call(image.deleteAppImage, { name: "img" })).status?.code).toBe(0);
    expect((await call(image.deleteAppImage, { name: "img" })).status?.code).toBe(13103);
    expect((await call(image.queryAppImage, { name: "img" })).status?.code).toBe(13105);
    expect((await call(image.updateAppImage, changed)).status?.code).toBe(13105);
    expect((await call(image.batchQueryAppImage, { names: ["other", "img"] })).status?.code).toBe(13105);
  });
});
