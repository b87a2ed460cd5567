import { fromBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ErrorResponseSchema } from "../../../gen/kuscia/proto/api/v1alpha1/common_pb.js";
import { HealthResponseSchema, HealthService } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/health_pb.js";
import { CreateJobResponseSchema } from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { definitionOf, viewOf } from "../../fakes.js";
import { type Front, postJson, startFront, TRANSPORTS } from "../../front.js";

let front: Front;
beforeAll(async () => {
  front = await startFront();
});
afterAll(() => front.server.stop());
beforeEach(() => {
  front.jobs.failure = undefined;
  front.jobs.calls.length = 0;
  front.jobs.views.clear();
});

const post = async (path: string, body: unknown, headers?: Record<string, string>): Promise<unknown> => {
  const answer = await postJson(`${front.url}/api/v1/${path}`, body, headers);
  expect(answer.status).toBe(200);
  return answer.json();
};

describe("answers in JSON", () => {
  it("write defaults, and null for unset messages, in the order of the fields", async () => {
    front.jobs.views.set("a", viewOf(definitionOf("a")));
    front.jobs.submitted.set("a", definitionOf("a"));
    const answer = await postJson(`${front.url}/api/v1/job/query`, { job_id: "a" });
    expect(await answer.text()).toBe(
      JSON.stringify({
        status: { code: 0, message: "success", details: [] },
        data: {
          job_id: "a",
          initiator: "alice",
          max_parallelism: 2,
          tasks: [
            {
              app_image: "psi-image",
              parties: [
                { domain_id: "alice", role: "", resources: null, bandwidth_limits: [] },
                { domain_id: "bob", role: "", resources: null, bandwidth_limits: [] },
              ],
              alias: "job-psi",
              task_id: "a-psi",
              dependencies: [],
              task_input_config: "{}",
              priority: 0,
              schedule_config: {
                task_timeout_seconds: 300,
                resource_reserved_seconds: 30,
                resource_reallocation_interval_seconds: 30,
              },
            },
          ],
          status: {
            state: "Pending",
            err_msg: "",
            create_time: "2026-01-02T03:04:05Z",
            start_time: "",
            end_time: "",
            tasks: [
              {
                task_id: "a-psi",
                state: "Pending",
                err_msg: "",
                create_time: "",
                start_time: "",
                end_time: "",
                parties: [],
                alias: "job-psi",
                progress: 0,
              },
            ],
            stage_status_list: [
              { domain_id: "alice", state: "JobCreateStageSucceeded" },
              { domain_id: "bob", state: "JobCreateStageSucceeded" },
            ],
            approve_status_list: [
              { domain_id: "alice", state: "JobAccepted" },
              { domain_id: "bob", state: "JobAccepted" },
            ],
          },
          custom_fields: {},
        },
      }),
    );
  });

  it("write 64-bit numbers as strings", async () => {
    const party = { domain_id: "bob", bandwidth_limits: [{ destination_id: "alice", limit_kbps: 99 }] };
    await post("job/create", { job_id: "a", tasks: [{ parties: [party] }] });
    expect(await post("job/query", { job_id: "a" })).toMatchObject({
      data: { tasks: [{ parties: [{ bandwidth_limits: [{ destination_id: "alice", limit_kbps: "99" }] }] }] },
    });
  });

  it("have null data and no fields of ours on a refusal", async () => {
    expect(await post("job/query", { job_id: "a" })).toEqual({
      status: { code: 11202, message: 'job "a" not found', details: [] },
      data: null,
    });
  });

  it("carry the fields of ours where they are asked for", async () => {
    const status = {
      code: 11202,
      message: 'job "a" not found',
      details: [],
      reason: "NotFound",
      domain: "muster",
      metadata: { job_id: "a" },
    };
    expect(await post("job/query", { job_id: "a" }, { "muster-extensions": "1" })).toEqual({ status, data: null });
    expect(await post("job/query?extensions=1", { job_id: "a" })).toEqual({ status, data: null });
    expect(await post("job/query?extensions=0", { job_id: "a" })).not.toHaveProperty("status.reason");
  });
});

describe("requests in JSON", () => {
  it("take both spellings, numbers as strings, enums by name and number, and drop what is unknown", async () => {
    const bandwidthLimits = [{ destinationId: "alice", limitKbps: "7" }];
    const task = { appImage: "img", parties: [{ domainId: "bob", bandwidthLimits }], unknown: [{}] };
    await post("job/create", { jobId: "a", max_parallelism: "3", tasks: [task], whatever: null });
    expect(front.jobs.last("submit")?.[0]).toMatchObject({
      definition: {
        jobId: "a",
        maxParallelism: 3,
        tasks: [
          { appImage: "img", parties: [{ domain: "bob", bandwidthLimits: [{ destination: "alice", kbps: "7" }] }] },
        ],
      },
    });
    for (const result of ["APPROVE_RESULT_REJECT", 2]) {
      await post("job/approve", { job_id: "a", result });
      expect(front.jobs.last("approve")?.[1]).toMatchObject({ decision: "JobRejected" });
    }
    expect(await post("job/approve", { job_id: "a", result: "NO_SUCH_RESULT" })).toMatchObject({
      status: { code: 11100 },
    });
  });

  it.each([
    ["an empty body", "", /^the body is empty/],
    ["half of a body", '{"job_id":', /^the body is no JSON: Unexpected end of JSON input$/],
    ["no object", "[]", /^the body: expected an object, got a list$/],
    ["a wrong type", '{"job_id": 5}', /^job_id: expected string, got 5$/],
    ["a key twice", '{"job_id":"a","job_id":"b"}', /^the body is no JSON: duplicate object key "job_id"$/],
    ["a field twice", '{"job_id":"a","jobId":"b"}', /^job_id: is given twice, as job_id and as jobId$/],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), /^the body is no text in UTF-8$/],
    ["half a surrogate pair", String.raw`{"job_id":"\ud800"}`, /^job_id: expected string: invalid UTF8$/],
  ])("with %s are 11101, and nothing but a status", async (_name, body, message) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${front.url}/api/v1/job/query`, { method: "POST", headers, body });
    const json = (await answer.json()) as { status: { message: string } };
    expect([answer.status, json]).toEqual([200, { status: { code: 11101, message: json.status.message } }]);
    expect(json.status.message).toMatch(message);
    expect(front.jobs.calls).toEqual([]);
  });
});

describe("a wrong value in the depth of a body is told by its path", () => {
  it.each([
    ['{"tasks":{}}', "tasks: expected a list, got an object"],
    ['{"tasks":["a"]}', 'tasks[0]: expected an object, got "a"'],
    ['{"tasks":[null,{"parties":[{"domainId":5}]}]}', "tasks[1].parties[0].domain_id: expected string, got 5"],
    ['{"tasks":[{"dependencies":["a",true]}]}', "tasks[0].dependencies[1]: expected string, got true"],
    ['{"custom_fields":[]}', "custom_fields: expected an object, got a list"],
    ['{"custom_fields":{"a":null,"b":1}}', 'custom_fields["b"]: expected string, got 1'],
    ['{"max_parallelism":1.5}', "max_parallelism: expected number (int32), got 1.5"],
  ])("%s", async (body, message) => {
    expect(await post("job/create", body)).toEqual({ status: { code: 11101, message } });
  });

  it("also where it is an enum", async () => {
    const message = "result: expected the name or the number of a value, got true";
    expect(await post("job/approve", '{"result":true}')).toEqual({ status: { code: 11101, message } });
  });
});

it("null in a list or a map is the empty value", async () => {
  const body = '{"jobId":"a","custom_fields":{"k":null,"l":"x"},"tasks":[null,{"alias":"b","dependencies":["a",null],"what":1}]}';
  await post("job/create", body);
  expect(front.jobs.last("submit")?.[0]).toMatchObject({
    definition: {
      jobId: "a",
      customFields: { k: "", l: "x" },
      tasks: [{ alias: "", parties: [], dependencies: [] }, { alias: "b", dependencies: ["a", ""] }],
    },
  });
  expect(await post("job/query", "null")).toMatchObject({ status: { code: 11100, message: "job_id: must not be empty" } });
});

describe("binary protobuf", () => {
  const headers = { "content-type": "application/x-protobuf" };

  it("is answered in kind, with the fields of ours", async () => {
    const request = { method: "POST", headers, body: Buffer.from("\x12\x01a") };
    const answer = await fetch(`${front.url}/api/v1/job/query`, request);
    expect(answer.headers.get("content-type")).toBe("application/x-protobuf");
    const { status } = fromBinary(ErrorResponseSchema, new Uint8Array(await answer.arrayBuffer()));
    expect(status).toMatchObject({ code: 11202, reason: "NotFound", domain: "muster" });
  });

  it("that cannot be read gets a status that fits every answer", async () => {
    const answer = await fetch(`${front.url}/api/v1/job/create`, {
      method: "POST",
      headers,
      body: Buffer.from("\x12\xff"),
    });
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/x-protobuf"]);
    const { status, data } = fromBinary(CreateJobResponseSchema, new Uint8Array(await answer.arrayBuffer()));
    expect([status?.code, data]).toEqual([11101, undefined]);
    expect(status?.message).toBe("the body is no CreateJobRequest in protobuf: premature EOF");
  });
});

it("other content types are 415", async () => {
  for (const path of ["query", "watch"]) {
    const headers = { "content-type": "application/xml" };
    const answer = await fetch(`${front.url}/api/v1/job/${path}`, { method: "POST", headers, body: "<a/>" });
    expect([answer.status, await answer.json()]).toEqual([
      415,
      {
        status: {
          code: 11101,
          message: 'content type "application/xml" is not served; send application/json or application/x-protobuf',
        },
      },
    ]);
  }
});

describe("healthZ", () => {
  it("answers in kind, and takes any body or none", async () => {
    const ready = { status: { code: 0, message: "success", details: [] }, data: { ready: true } };
    for (const body of ["{}", "", "what?"]) {
      expect(await (await postJson(`${front.url}/healthZ`, body)).json()).toEqual(ready);
    }
    const headers = { "content-type": "application/x-protobuf" };
    const answer = await fetch(`${front.url}/healthZ`, { method: "POST", headers });
    expect(answer.headers.get("content-type")).toBe("application/x-protobuf");
    const message = fromBinary(HealthResponseSchema, new Uint8Array(await answer.arrayBuffer()));
    expect(message).toMatchObject({ status: { code: 0, message: "success" }, data: { ready: true } });
  });

  it.each(Object.entries(TRANSPORTS))("is a call over %s", async (_name, transport) => {
    const { status, data } = await createClient(HealthService, transport(front.url)).healthZ({});
    expect([status?.code, data?.ready]).toEqual([0, true]);
  });
});

describe("probes", () => {
  it("answer ready and the version", async () => {
    const health = await fetch(`${front.url}/healthZ`, { method: "POST" });
    expect(await health.json()).toEqual({
      status: { code: 0, message: "success", details: [] },
      data: { ready: true },
    });
    expect(await (await fetch(`${front.url}/probe`)).json()).toEqual({ ready: true });
    expect(await (await fetch(`${front.url}/version`)).json()).toEqual({ version: "1.2.3" });
  });
});
