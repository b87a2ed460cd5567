import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AppImageService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { ERROR_REASONS, type ErrorReason, JobError } from "../../../src/core/error.js";
import { type Front, startFront, TRANSPORTS } from "../../front.js";
import { type Caller, PATHS, restJson } from "./callers.js";

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

const call: Caller = (method, request) => restJson(front.url)(method, request);

describe("a request that names nothing", () => {
  it("is 11100 with the field", async () => {
    for (const method of [job.queryJob, job.deleteJob, job.stopJob, job.suspendJob, job.restartJob, job.cancelJob]) {
      const { status } = (await call<DescMessage, DescMessage>(method, {})) as unknown as { status: unknown };
      expect(status).toMatchObject({
        code: 11100,
        message: "job_id: must not be empty",
        metadata: { field: "job_id" },
      });
    }
    expect((await call(job.approveJob, { result: 1 })).status?.message).toBe("job_id: must not be empty");
    expect((await call(job.batchQueryJobStatus, {})).status?.message).toBe("job_ids: must not be empty");
    expect((await call(job.batchQueryJobStatus, { jobIds: ["a", ""] })).status?.message).toBe(
      "job_ids[1]: must not be empty",
    );
    expect((await call(image.queryAppImage, {})).status?.message).toBe("name: must not be empty");
    expect((await call(image.deleteAppImage, {})).status?.message).toBe("name: must not be empty");
    expect((await call(image.batchQueryAppImage, {})).status?.message).toBe("names: must not be empty");
    expect((await call(image.batchQueryAppImage, { names: [""] })).status?.message).toBe("names[0]: must not be empty");
    expect((await call(image.listAppImage, { pageSize: -1n })).status?.message).toBe(
      "page_size: must not be negative, got -1",
    );
    expect(front.jobs.calls).toEqual([]);
  });

  it("is 11100 where it names more than a thousand, and nothing is read", async () => {
    const names = Array<string>(1000).fill("a");
    expect((await call(job.batchQueryJobStatus, { jobIds: names })).status?.code).toBe(11203);
    front.jobs.calls.length = 0;
    const tooMany = [...names, "a"];
    expect((await call(job.batchQueryJobStatus, { jobIds: tooMany })).status).toMatchObject({
      code: 11100,
      message: "job_ids: must be at most 1000, got 1001",
    });
    expect((await call(image.batchQueryAppImage, { names: tooMany })).status).toMatchObject({
      code: 11100,
      message: "names: must be at most 1000, got 1001",
    });
    expect(front.jobs.calls).toEqual([]);
  });

  it.each([0, 3])("cannot decide: result %i", async (result) => {
    const { status } = await call(job.approveJob, { jobId: "a", result });
    expect(status).toMatchObject({
      code: 11100,
      message: `result: must be APPROVE_RESULT_ACCEPT (1) or APPROVE_RESULT_REJECT (2), got ${result}`,
    });
  });

  it("has text that can be stored, in every field", async () => {
    const bad = "a\0";
    const inTask = await call(job.createJob, { tasks: [{}, { parties: [{ domainId: bad }] }] });
    expect(inTask.status).toMatchObject({
      code: 11100,
      message: "tasks[1].parties[0].domain_id: must not contain U+0000 or a lone surrogate",
    });
    for (const customFields of [{ [bad]: "" }, { a: bad }]) {
      const inFields = await call(job.createJob, { customFields });
      const key = JSON.stringify(Object.keys(customFields)[0]);
      expect(inFields.status?.metadata).toEqual({ field: `custom_fields[${key}]` });
    }
    const inReason = await call(job.stopJob, { jobId: "a", reason: bad });
    expect(inReason.status).toMatchObject({ code: 11100, metadata: { field: "reason" } });
    expect(front.jobs.calls).toEqual([]);
  });
});

describe("the code of each reason", () => {
  const methods = [
    [job.createJob, { failed: 11201 }],
    [job.queryJob, { failed: 11202, Forbidden: 11202 }],
    [job.batchQueryJobStatus, { failed: 11203, Forbidden: 11203 }],
    [job.deleteJob, { failed: 11204 }],
    [job.stopJob, { failed: 11205 }],
    [job.approveJob, { failed: 11206 }],
    [job.suspendJob, { failed: 11207, IllegalMove: 11210 }],
    [job.restartJob, { failed: 11208, IllegalMove: 11211 }],
    [job.cancelJob, { failed: 11209 }],
  ] as const;
  const shared: Partial<Record<ErrorReason, number>> = { InvalidArgument: 11100, Forbidden: 11102, Internal: 11101 };
  const reasons = ERROR_REASONS.filter((reason) => reason !== "ResourceExhausted");

  it.each(methods)("of $name", async (method, codes) => {
    const request = { jobId: "a", jobIds: ["a"], result: 1 } as MessageInitShape<DescMessage>;
    for (const reason of reasons) {
      front.jobs.failure = new JobError(reason, "why", { field: "some_field", metadata: { fact: "x" } });
      const expected = (codes as Partial<Record<string, number>>)[reason] ?? shared[reason] ?? codes.failed;
      const answer = await call<DescMessage, DescMessage>(method, request);
      const message = reason === "Internal" ? "internal error" : "why";
      const metadata = reason === "Internal" ? {} : { field: "some_field", fact: "x" };
      expect(answer).toMatchObject({ status: { code: expected, message, reason, domain: "muster", metadata } });
    }
  });

  it("of a quantity of an app image is the call's own, of its other content 11100", async () => {
    const withCpu = (cpu: string) => [{ name: "t", containers: [{ name: "c", resources: { limits: { cpu } } }] }];
    const request = { name: "img", image: { name: "repo" } };
    const bad = { ...request, deployTemplates: withCpu("lots") };
    expect((await call(image.createAppImage, bad)).status).toMatchObject({
      code: 13100,
      message: 'deploy_templates[0].containers[0].resources.limits.cpu: must be a quantity such as "500m" or "2Gi", got "lots"',
      reason: "InvalidArgument",
    });
    expect((await call(image.createAppImage, request)).status?.code).toBe(11100);
    expect((await call(image.createAppImage, { ...request, deployTemplates: withCpu("2") })).status?.code).toBe(0);
    expect((await call(image.updateAppImage, bad)).status?.code).toBe(13102);
    expect((await call(image.updateAppImage, { name: "img" })).status?.code).toBe(11100);
  });

  it("is 11101 for a fault of ours, which is logged and not told", async () => {
    front.jobs.failure = new Error("secret detail");
    const { status } = await call(job.queryJob, { jobId: "a" });
    expect(status).toMatchObject({ code: 11101, message: "internal error", reason: "Internal" });
    expect(front.logged.map((line) => line.err?.message)).toEqual(["secret detail"]);
  });

  it("is none where we are overloaded: that is an error of the transport", async () => {
    front.jobs.failure = new JobError("ResourceExhausted", "too many requests");
    for (const transport of Object.values(TRANSPORTS)) {
      const answer = transport(front.url).unary(job.queryJob, undefined, undefined, undefined, { jobId: "a" });
      await expect(answer).rejects.toMatchObject({ code: Code.ResourceExhausted, rawMessage: "too many requests" });
    }
    const rest = await fetch(`${front.url}/api/v1/job/query`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"job_id":"a"}',
    });
    expect([rest.status, await rest.json()]).toEqual([429, { status: { code: 11202, message: "too many requests" } }]);
  });
});

it("every answer has a status, which calls rely on to refuse", () => {
  for (const method of PATHS.keys()) {
    expect(method.output.fields[0]).toMatchObject({ name: "status", number: 1, fieldKind: "message" });
  }
  const unary = [...JobService.methods, ...AppImageService.methods].filter((method) => method.methodKind === "unary");
  expect([...PATHS.keys()].map(String).sort()).toEqual(unary.map(String).sort());
});
