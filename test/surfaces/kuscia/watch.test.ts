import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  EventType,
  JobService,
  type WatchJobEventResponse,
  WatchJobRequestSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { moved } from "../../../src/core/moves/states.js";
import { watchFrames } from "../../../src/surfaces/kuscia/watch.js";
import type { JobFrame, JobFrameKind } from "../../../src/watch.js";
import { definitionOf, FakeHub, viewOf } from "../../fakes.js";
import { type Front, MASTER, postJson, startFront, TRANSPORTS } from "../../front.js";

const WATCH = "/api/v1/job/watch";

function frame(kind: JobFrameKind, revision: bigint, state: "Pending" | "Running" | "Succeeded" = "Pending"): JobFrame {
  const view = viewOf(definitionOf("job-1"));
  return { kind, from: revision, revision, inSnapshot: false, view: { ...view, job: { ...view.job, state: moved(state) } } };
}

let front: Front;
beforeEach(async () => {
  front = await startFront();
  front.hub.present = [frame("Added", 3n)];
});
afterEach(() => front.server.stop());

async function firstLines(response: Response, count: number): Promise<string[]> {
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    if (text.split("\n").length > count) break;
  }
  return text.split("\n").slice(0, count);
}

describe.each(Object.entries(TRANSPORTS))("WatchJob over %s", (_name, transport) => {
  it("shows what is there, a heartbeat, then each change", async () => {
    const frames = createClient(JobService, transport(front.url)).watchJob({})[Symbol.asyncIterator]();
    const next = async (): Promise<WatchJobEventResponse> => (await frames.next()).value as WatchJobEventResponse;
    expect(await next()).toMatchObject({
      type: EventType.ADDED,
      object: { jobId: "job-1", status: { state: "Pending" } },
    });
    const heartbeat = await next();
    expect([heartbeat.type, heartbeat.object]).toEqual([EventType.HEARTBEAT, undefined]);
    front.hub.emit(frame("Modified", 8n, "Running"));
    front.hub.emit(frame("Deleted", 9n, "Succeeded"));
    expect(await next()).toMatchObject({ type: EventType.MODIFIED, object: { status: { state: "Running" } } });
    expect(await next()).toMatchObject({
      type: EventType.DELETED,
      object: { jobId: "job-1", status: { state: "Succeeded" } },
    });
    front.hub.emit({ kind: "Error", message: "watch again", revision: 9n });
    expect(await next()).toMatchObject({ type: EventType.ERROR, object: { status: { errMsg: "watch again" } } });
    expect(await frames.next()).toMatchObject({ done: true });
  });

  it("ends when its time is over", async () => {
    const types: EventType[] = [];
    const frames = createClient(JobService, transport(front.url)).watchJob({ timeoutSeconds: 1n });
    for await (const { type } of frames) types.push(type);
    expect(types).toEqual([EventType.ADDED, EventType.HEARTBEAT]);
  });

  it("says its revisions, and passes on what it is asked for", async () => {
    front.hub.present = [{ ...frame("Added", 3n), from: 0n, inSnapshot: true }];
    const started = front.hub.started();
    const asked = { resumeRevision: 5n, jobIds: ["job-1"], domain: "bob", states: ["Running", "Failed"] };
    const frames = createClient(JobService, transport(front.url)).watchJob(asked)[Symbol.asyncIterator]();
    const next = async (): Promise<WatchJobEventResponse> => (await frames.next()).value as WatchJobEventResponse;
    expect(await next()).toMatchObject({ revision: 0n, coalescedFrom: 0n, snapshotRevision: 3n });
    expect(await next()).toMatchObject({ revision: 7n, coalescedFrom: 0n, snapshotRevision: 0n });
    front.hub.emit({ ...frame("Modified", 9n), from: 8n });
    expect(await next()).toMatchObject({ revision: 9n, coalescedFrom: 8n, snapshotRevision: 0n });
    front.hub.emit({ ...frame("Modified", 11n), from: 11n, inSnapshot: true });
    expect(await next()).toMatchObject({ revision: 0n, coalescedFrom: 11n, snapshotRevision: 11n });
    front.hub.emit({ kind: "Error", message: "slow", revision: 9n });
    expect(await next()).toMatchObject({ type: EventType.ERROR, revision: 9n });
    // To its end: the server waits for an answer that is not read when it stops.
    expect((await frames.next()).done).toBe(true);
    expect(await started).toMatchObject({
      start: { kind: "After", revision: 5n },
      filter: { jobIds: new Set(["job-1"]), domain: "bob", states: new Set(["Running", "Failed"]) },
    });
  });

  it("refuses a filter that can match nothing, or is too long", async () => {
    const cases: [MessageInitShape<typeof WatchJobRequestSchema>, RegExp][] = [
      [{ states: ["Running", "Nope"] }, /^states\[1\]: must be one of AwaitingApproval, .*, got "Nope"$/],
      [{ jobIds: ["a", ""] }, /^job_ids\[1\]: must not be empty$/],
      [{ jobIds: Array.from({ length: 1001 }, (_, i) => `j-${i}`) }, /^job_ids: must be at most 1000, got 1001$/],
      [{ jobIds: ["good", "bad\0"] }, /^job_ids\[1\]: must not contain U\+0000 or a lone surrogate$/],
      [{ domain: "No Domain" }, /^domain: must be a domain id, got "No Domain"$/],
      [{ resumeRevision: -1n }, /^resume_revision: must not be negative, got -1$/],
    ];
    for (const [asked, message] of cases) {
      const frames = createClient(JobService, transport(front.url)).watchJob(asked);
      const error = ConnectError.from(
        await frames[Symbol.asyncIterator]()
          .next()
          .catch((e: unknown) => e),
      );
      expect(error.code).toBe(Code.InvalidArgument);
      expect(error.rawMessage).toMatch(message);
    }
  });

  it("refuses a time that no watch can last", async () => {
    for (const timeoutSeconds of [-1n, 2_147_483_648n]) {
      const frames = createClient(JobService, transport(front.url)).watchJob({ timeoutSeconds });
      const error = ConnectError.from(
        await frames[Symbol.asyncIterator]()
          .next()
          .catch((e: unknown) => e),
      );
      expect(error.code).toBe(Code.InvalidArgument);
      expect(error.rawMessage).toBe(`timeout_seconds: must be between 0 and 2147483647, got ${timeoutSeconds}`);
    }
  });

  it("ends with unavailable when the hub stops", async () => {
    const frames = createClient(JobService, transport(front.url)).watchJob({})[Symbol.asyncIterator]();
    await frames.next();
    await frames.next();
    front.hub.stop();
    await expect(frames.next()).rejects.toMatchObject({ code: Code.Unavailable });
  });
});

describe("WatchJob over REST", () => {
  it("writes one object a line, its type a number, and leaves out what is unset", async () => {
    const response = await postJson(front.url + WATCH, {});
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    front.hub.emit(frame("Modified", 8n, "Running"));
    expect(await firstLines(response, 3)).toEqual([
      JSON.stringify({ type: 0, object: objectOf("Pending") }),
      '{"type":4}',
      JSON.stringify({ type: 1, object: objectOf("Running") }),
    ]);
  });

  it("sends its headers at once, also where the hub is silent", async () => {
    front.hub.open = () => ({ next: () => undefined, ended: false, close: () => undefined });
    expect((await postJson(front.url + WATCH, {})).status).toBe(200);
  });

  it("ends when its time is over", async () => {
    front.hub.present = [];
    expect(await (await postJson(front.url + WATCH, { timeout_seconds: 1 })).text()).toBe('{"type":4}\n');
  });

  it("breaks off when the hub stops", async () => {
    const ended = expect(
      postJson(front.url + WATCH, {}).then((response) => {
        front.hub.stop();
        return response.text();
      }),
    ).rejects.toThrow();
    await ended;
  });

  it("takes protobuf and answers JSON", async () => {
    front.hub.present = [];
    const headers = { "content-type": "application/x-protobuf" };
    const response = await fetch(front.url + WATCH, { method: "POST", headers, body: Buffer.of(0x10, 1) });
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(await response.text()).toBe('{"type":4}\n');
  });

  it.each([
    ["-1", "timeout_seconds: must be between 0 and 2147483647, got -1"],
    ["2147483648", "timeout_seconds: must be between 0 and 2147483647, got 2147483648"],
  ])("answers 400 to timeout_seconds %s", async (seconds, message) => {
    const response = await postJson(front.url + WATCH, `{"timeout_seconds":${seconds}}`);
    expect([response.status, await response.json()]).toEqual([400, { status: { code: 11100, message } }]);
  });

  it("takes a POST of nothing as the empty request", async () => {
    front.hub.present = [];
    expect(await firstLines(await fetch(front.url + WATCH, { method: "POST" }), 1)).toEqual(['{"type":4}']);
  });

  it.each(["", "{", '{"timeout_seconds":"soon"}', `{"header":${'{"a":'.repeat(70)}1${"}".repeat(70)}}`])("answers 400 to the body %o", async (body) => {
    const response = await postJson(front.url + WATCH, body);
    expect([response.status, await response.json()]).toMatchObject([400, { status: { code: 11100 } }]);
  });

  function objectOf(state: string): unknown {
    return {
      job_id: "job-1",
      status: {
        state,
        create_time: "2026-01-02T03:04:05Z",
        tasks: [{ task_id: "job-1-psi", state: "Pending", alias: "job-psi" }],
        stage_status_list: [
          { domain_id: "alice", state: "JobCreateStageSucceeded" },
          { domain_id: "bob", state: "JobCreateStageSucceeded" },
        ],
        approve_status_list: [
          { domain_id: "alice", state: "JobAccepted" },
          { domain_id: "bob", state: "JobAccepted" },
        ],
      },
    };
  }
});

it("a frame is built once for all watchers", async () => {
  const hub = new FakeHub();
  hub.present = [frame("Added", 3n)];
  const request = create(WatchJobRequestSchema);
  const first = async () => (await watchFrames(hub, request, MASTER, new AbortController().signal).next()).value;
  expect(await first()).toBe(await first());
});

it("a watcher that stops reading lets go of the hub", async () => {
  const hub = new FakeHub();
  const ended = hub.ended();
  for await (const _frame of watchFrames(hub, create(WatchJobRequestSchema), MASTER, new AbortController().signal))
    break;
  await ended;
});
