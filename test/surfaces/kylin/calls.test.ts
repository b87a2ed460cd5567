/** Each endpoint but the list, through a real server on a real store. */

import { request as httpRequest } from "node:http";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { quoted } from "../../../src/core/error.js";
import { SHOWN_STATUSES, type ShownStatus } from "../../../src/core/list.js";
import { ACTIONS, type ActionName, JOB_STATUS } from "../../../src/surfaces/kylin/states.js";
import type { StepOutput } from "../../../src/surfaces/kylin/output.js";
import type { JobObject } from "../../../src/surfaces/kylin/translate.js";
import { party, taskOf } from "../../core/fixtures.js";
import { type Answer, type Kylin, openKylin, V2, VERSION } from "./harness.js";

let kylin: Kylin;
beforeAll(async () => {
  kylin = await openKylin();
});
afterAll(() => kylin.close());

const METHOD_OF = { pause: "PUT", resume: "PUT", cancel: "PUT", drop: "DELETE" } as const satisfies Record<ActionName, string>;
const ACTION_NAMES = Object.keys(METHOD_OF) as ActionName[];
const lineOf = (action: ActionName, jobId: string): string => `${METHOD_OF[action]} /jobs/${jobId}/${action}`;

/** A failure in the surface's form: one text in two places. */
function expectFailure(answer: Answer, status: number, message: string, path: string): void {
  const { headers: _headers, type, ...rest } = answer;
  expect(type).toBe(`${V2};charset=UTF-8`);
  expect(rest).toEqual({
    status,
    code: "999",
    data: null,
    msg: message,
    exception: message,
    stacktrace: "",
    url: `${kylin.url}/kylin/api${path}`,
  });
}

/** A job without what goes on with the clock. */
function still(job: JobObject): unknown {
  const steps = job.steps.map(({ exec_wait_time: _waited, info: { mapReduceWaitTime: _soFar, ...info }, ...step }) => ({ ...step, info }));
  return { ...job, duration: 0, steps };
}

describe("a job", () => {
  test("is shown with its steps", async () => {
    const jobId = await kylin.jobThatIs("Running", { customFields: { "kylin.cube": "sales", "kylin.type": "REFRESH" } });
    const answer = await kylin.call(`GET /jobs/${jobId}`);
    expect(answer).toMatchObject({ status: 200, code: "000", msg: "" });
    expect(answer.data).toMatchObject({
      uuid: jobId,
      name: jobId,
      version: VERSION,
      type: "REFRESH",
      related_cube: "sales",
      job_status: "RUNNING",
      progress: 0,
      build_instance: "runner-1",
      submitter: "master",
    });
    expect(answer.data.steps.map(({ id, name, step_status }) => [id, name, step_status])).toEqual([
      [`${jobId}-00`, "a", "RUNNING"],
      [`${jobId}-01`, "b", "PENDING"],
    ]);
    expect(Date.now() - answer.data.last_modified).toBeLessThan(60_000);
  });

  test.each(["absent", "%00", "x".repeat(3000), "%E2%82%AC"])("that is not there is not found: %s", async (name) => {
    const answer = await kylin.call(`GET /jobs/${name}`);
    expectFailure(answer, 404, `job ${quoted(decodeURIComponent(name))} not found`, `/jobs/${name}`);
  });
});

describe("the answer's type", () => {
  test("is the v2 type for who asks for it, JSON for others, on success and failure", async () => {
    const jobId = await kylin.submit();
    for (const path of [`/jobs/${jobId}`, "/jobs/absent"]) {
      expect((await kylin.call(`GET ${path}`)).type).toBe("application/vnd.apache.kylin-v2+json;charset=UTF-8");
      for (const accept of ["*/*", "application/json"]) {
        expect((await kylin.call(`GET ${path}`, { accept })).type).toBe("application/json;charset=UTF-8");
      }
    }
  });

  test("is none of other versions, and then nothing is done", async () => {
    const jobId = await kylin.submit();
    const answer = await kylin.call(`PUT /jobs/${jobId}/cancel`, { accept: "application/vnd.apache.kylin-v4+json" });
    expect(answer).toMatchObject({ status: 406, type: "application/json;charset=UTF-8", code: "999", data: null });
    expect((await kylin.call(`GET /jobs/${jobId}`)).data.job_status).toBe("PENDING");
  });

  test("does not depend on the language asked for", async () => {
    const jobId = await kylin.submit();
    const [english, chinese] = await Promise.all(
      ["en", "cn"].map((language) => kylin.call(`GET /jobs/${jobId}/steps/x/output`, { "accept-language": language })),
    );
    expect(english?.msg).toBe(chinese?.msg);
  });
});

describe("what an action does by the job's status", () => {
  const NEEDED = {
    pause: "PENDING, RUNNING or STOPPED",
    resume: "STOPPED or ERROR",
    cancel: "PENDING, RUNNING, STOPPED, ERROR or DISCARDED",
    drop: "FINISHED or DISCARDED",
  } as const satisfies Record<ActionName, string>;
  const NEXT = { pause: "STOPPED", resume: "PENDING", cancel: "DISCARDED" } as const;
  const rows = SHOWN_STATUSES.flatMap((status) => ACTION_NAMES.map((action) => [action, status] as const));

  test.each(rows)("%s, %s", async (action, status) => {
    const jobId = await kylin.jobThatIs(status);
    const before = await kylin.call(`GET /jobs/${jobId}`);
    expect(before.data.job_status).toBe(JOB_STATUS[status]);
    const answer = await kylin.call(lineOf(action, jobId));
    const after = await kylin.call(`GET /jobs/${jobId}`);
    const rule = ACTIONS[action].rules[status];
    if (rule === "refuse") {
      expectFailure(answer, 400, `cannot ${action} job "${jobId}": it is ${JOB_STATUS[status]} and must be ${NEEDED[action]}`, `/jobs/${jobId}/${action}`);
      expect(still(after.data)).toEqual(still(before.data));
    } else if (action === "drop") {
      expect(answer).toMatchObject({ status: 200, code: "000", data: before.data });
      expect(after.status).toBe(404);
      expect((await kylin.call(lineOf("drop", jobId))).status).toBe(404);
    } else {
      expect(answer).toMatchObject({ status: 200, code: "000" });
      expect([answer.data.uuid, answer.data.job_status]).toEqual([jobId, NEXT[action]]);
      expect(after.data.job_status).toBe(NEXT[action]);
      if (rule === "repeat") expect(answer.data).toEqual(before.data);
    }
  });

  test("is as the table of the API says", () => {
    const allowed = (action: ActionName): ShownStatus[] => SHOWN_STATUSES.filter((s) => ACTIONS[action].rules[s] !== "refuse");
    expect(Object.fromEntries(ACTION_NAMES.map((name) => [name, allowed(name)]))).toEqual({
      pause: ["Waiting", "Running", "Stopped"],
      resume: ["Stopped", "Error"],
      cancel: ["Waiting", "Running", "Stopped", "Error", "Discarded"],
      drop: ["Finished", "Discarded"],
    });
  });

  test.each(ACTION_NAMES)("%s finds no job that is not there", async (action) => {
    expectFailure(await kylin.call(lineOf(action, "absent")), 404, 'job "absent" not found', `/jobs/absent/${action}`);
  });
});

describe("of actions at the same time", () => {
  test("one resume wins, the others hear what the job has become", async () => {
    const jobId = await kylin.jobThatIs("Stopped");
    const answers = await Promise.all(Array.from({ length: 8 }, () => kylin.call(`PUT /jobs/${jobId}/resume`)));
    const lost = answers.filter((answer) => answer.status !== 200);
    expect(lost).toHaveLength(7);
    expect(new Set(lost.map((answer) => answer.msg))).toEqual(new Set([`cannot resume job "${jobId}": it is PENDING and must be STOPPED or ERROR`]));
  });

  test("resume and cancel leave the job cancelled, whichever came first", async () => {
    const jobId = await kylin.jobThatIs("Stopped");
    const [resumed, cancelled] = await Promise.all([kylin.call(`PUT /jobs/${jobId}/resume`), kylin.call(`PUT /jobs/${jobId}/cancel`)]);
    expect(cancelled.data.job_status).toBe("DISCARDED");
    if (resumed.status !== 200) expect(resumed.msg).toBe(`cannot resume job "${jobId}": it is DISCARDED and must be STOPPED or ERROR`);
    expect((await kylin.call(`GET /jobs/${jobId}`)).data.job_status).toBe("DISCARDED");
  });

  test("one drop wins, the others find nothing", async () => {
    const jobId = await kylin.jobThatIs("Finished");
    const answers = await Promise.all(Array.from({ length: 4 }, () => kylin.call(`DELETE /jobs/${jobId}/drop`)));
    expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([200, 404, 404, 404]);
  });
});

describe("while the processes of a job are being stopped", () => {
  test("it is STOPPED already, and a resume waits for them", async () => {
    const jobId = await kylin.submit();
    const uids = await kylin.start(jobId);
    const paused = await kylin.call(`PUT /jobs/${jobId}/pause`);
    expect(paused.data).toMatchObject({ job_status: "STOPPED", steps: [{ step_status: "STOPPED" }, { step_status: "PENDING" }] });
    const resumed = kylin.call(`PUT /jobs/${jobId}/resume`);
    expect((await kylin.call(`GET /jobs/${jobId}`)).data.job_status).toBe("STOPPED");
    await kylin.end(jobId, uids);
    expect((await resumed).data.job_status).toBe("PENDING");
  });

  test("a job that is cancelled can be dropped, and is gone with its last process", async () => {
    const jobId = await kylin.submit();
    const uids = await kylin.start(jobId);
    await kylin.call(`PUT /jobs/${jobId}/cancel`);
    expect((await kylin.call(`DELETE /jobs/${jobId}/drop`)).status).toBe(200);
    expect((await kylin.call(`GET /jobs/${jobId}`)).data.job_status).toBe("DISCARDED");
    expect((await kylin.call(`PUT /jobs/${jobId}/cancel`)).status).toBe(200);
    await kylin.end(jobId, uids);
    expect((await kylin.call(`GET /jobs/${jobId}`)).status).toBe(404);
  });
});

describe("a step's output", () => {
  const output = (jobId: string, stepId: string) => kylin.call<StepOutput>(`GET /jobs/${jobId}/steps/${stepId}/output`);

  test("is the end of its log, and ids come back as they were given", async () => {
    const jobId = await kylin.jobThatIs("Running");
    const stepId = `${jobId}-00`;
    kylin.outputs.set("alice", { text: "one\ntwo\n", truncated: false });
    expect((await output(jobId, stepId)).data).toEqual({ jobId, stepId, cmd_output: "one\ntwo\n" });
    kylin.outputs.set("alice", { text: "two\n", truncated: true });
    expect((await output(jobId, stepId)).data.cmd_output).toBe("(earlier output is left out)\ntwo\n");
  });

  test("names the parties where there are several", async () => {
    const both = [party("alice", "host"), party("carol", "guest")];
    const jobId = await kylin.jobThatIs("Running", { tasks: [taskOf("a", { taskId: "", parties: both })] });
    kylin.outputs.set("alice", { text: "from alice", truncated: false });
    kylin.outputs.set("carol", { text: "from carol\n", truncated: false });
    const text = "==> alice, host, attempt 1 <==\nfrom alice\n==> carol, guest, attempt 1 <==\nfrom carol\n";
    expect((await output(jobId, `${jobId}-00`)).data.cmd_output).toBe(text);
  });

  test("is empty where nothing ran", async () => {
    const jobId = await kylin.jobThatIs("Running");
    expect((await output(jobId, `${jobId}-01`)).data.cmd_output).toBe("");
  });

  test("says why, where the step ended without any", async () => {
    const jobId = await kylin.jobThatIs("Stopped");
    await kylin.command(jobId, "Cancel");
    expect((await output(jobId, `${jobId}-01`)).data.cmd_output).toBe("not run: cancelled by master");
  });

  test("of the job itself is its message", async () => {
    const jobId = await kylin.jobThatIs("Error");
    expect((await output(jobId, jobId)).data.cmd_output).toBe("Task[a]-Party[alice]: it broke");
  });

  test.each(["-02", "-0", "-000", "_00", "", "-1", "%00"])("is there only for a step of the job: %s", async (end) => {
    const jobId = await kylin.submit();
    const other = await kylin.submit();
    const stepId = end === "" ? `${other}-00` : `${jobId}${end}`;
    const answer = await output(jobId, stepId);
    expectFailure(answer, 404, `job "${jobId}" has no step ${quoted(decodeURIComponent(stepId))}`, `/jobs/${jobId}/steps/${stepId}/output`);
  });
});

describe("a PUT", () => {
  /** As clients send it that know of no body: without a type, with or without a length, or with an empty type. */
  async function put(path: string, headers: Record<string, string>, body = ""): Promise<number | undefined> {
    const sent = httpRequest(`${kylin.url}/kylin/api${path}`, { method: "PUT", headers });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [{ statusCode?: number; resume(): void }];
    response.resume();
    return response.statusCode;
  }

  test.each([
    [{}, ""],
    [{ "content-length": "0" }, ""],
    [{ "transfer-encoding": "chunked" }, ""],
    [{ "content-type": "application/json;charset=utf-8" }, ""],
    [{ "content-type": V2 }, "{}"],
    [{ "content-type": "application/x-www-form-urlencoded" }, "a=b"],
  ])("needs neither body nor content type: %o", async (headers, body) => {
    const jobId = await kylin.submit();
    expect(await put(`/jobs/${jobId}/pause?jobId=${jobId}`, headers, body)).toBe(200);
  });

  test("that is too large is refused in the surface's words", async () => {
    const jobId = await kylin.submit();
    const path = `/jobs/${jobId}/pause`;
    const answer = await fetch(`${kylin.url}/kylin/api${path}`, {
      method: "PUT",
      headers: { accept: V2 },
      body: "x".repeat((1 << 16) + 1),
    });
    const text = `the body is larger than the limit of ${1 << 16} bytes`;
    expect([answer.status, answer.headers.get("content-type")]).toEqual([413, `${V2};charset=UTF-8`]);
    expect(await answer.json()).toMatchObject({ code: "999", msg: text, exception: text, url: `${kylin.url}/kylin/api${path}` });
    expect((await kylin.call(`GET /jobs/${jobId}`)).data.job_status).toBe("PENDING");
  });

  test("of another page is refused", async () => {
    const jobId = await kylin.submit();
    expect(await put(`/jobs/${jobId}/cancel`, { origin: "https://evil.example" })).toBe(403);
    expect((await kylin.call(`GET /jobs/${jobId}`)).data.job_status).toBe("PENDING");
  });
});
