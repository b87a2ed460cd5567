import { Code, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LogsService } from "../../gen/muster/v1/logs_pb.js";
import { ERROR_REASONS, JobError } from "../../src/core/error.js";
import { moved } from "../../src/core/moves/states.js";
import type { TaskLog } from "../../src/logs.js";
import { type Front, MASTER, startFront, TRANSPORTS } from "../front.js";

const ENDED: TaskLog = {
  alias: "psi",
  taskId: "job-1-psi",
  domain: "alice",
  role: "host",
  replica: 1,
  attempt: 2,
  state: moved("Failed"),
  exitCode: 0,
  signal: null,
  truncated: true,
  text: "it ran\n",
};
const KILLED: TaskLog = { ...ENDED, exitCode: null, signal: "SIGKILL", truncated: false, text: "" };

let front: Front;
beforeAll(async () => {
  front = await startFront();
  front.logs.logs = [ENDED, KILLED];
});
afterAll(() => front.server.stop());
beforeEach(() => {
  front.logs.queries.length = 0;
  front.logs.failure = undefined;
  front.logged.length = 0;
});

const get = async (path: string): Promise<[number, unknown]> => {
  const answer = await fetch(front.url + path);
  return [answer.status, await answer.json()];
};

describe("logs over REST", () => {
  it("are snake_case, without an exit code where there was none", async () => {
    const [status, body] = await get("/v1/jobs/job-1/logs");
    const shared = {
      task_alias: "psi",
      task_id: "job-1-psi",
      domain_id: "alice",
      role: "host",
      replica: 1,
      attempt: 2,
      state: "Failed",
    };
    expect([status, body]).toEqual([
      200,
      {
        logs: [
          { ...shared, exit_code: 0, signal: "", truncated: true, text: "it ran\n" },
          { ...shared, signal: "SIGKILL", truncated: false, text: "" },
        ],
      },
    ]);
  });

  it("are asked for by the query", async () => {
    await get("/v1/jobs/job-1/logs?task=psi&domain_id=alice&role=host&attempt=3&tail_bytes=100");
    await get("/v1/jobs/job%2D1/logs");
    expect(front.logs.queries).toEqual([
      {
        query: { jobId: "job-1", task: "psi", domain: "alice", role: "host", attempt: 3, tailBytes: 100 },
        actor: MASTER,
      },
      { query: { jobId: "job-1", task: "", domain: "", attempt: 0, tailBytes: 65536 }, actor: MASTER },
    ]);
  });

  it.each([
    ["attempt=x", 'attempt: must be a whole number from 0 to 2147483647, got "x"'],
    ["attempt=", 'attempt: must be a whole number from 0 to 2147483647, got ""'],
    ["attempt=-1", 'attempt: must be a whole number from 0 to 2147483647, got "-1"'],
    ["attempt=2147483648", 'attempt: must be a whole number from 0 to 2147483647, got "2147483648"'],
    ["tail_bytes=1.5", 'tail_bytes: must be a whole number from 0 to 2147483647, got "1.5"'],
    ["tail_bytes=1048577", "tail_bytes: must be between 0 and 1048576, got 1048577"],
    ["task=%00", "task: must not contain U+0000 or a lone surrogate"],
  ])("with %s are 400", async (query, message) => {
    expect(await get(`/v1/jobs/job-1/logs?${query}`)).toEqual([400, { code: "invalid_argument", message }]);
    expect(front.logs.queries).toEqual([]);
  });

  it.each(ERROR_REASONS)("have a status for the reason %s", async (reason) => {
    front.logs.failure = new JobError(reason, "why");
    const [status, body] = await get("/v1/jobs/job-1/logs");
    const expected = {
      InvalidArgument: [400, "invalid_argument"],
      AlreadyExists: [409, "already_exists"],
      NotFound: [404, "not_found"],
      Forbidden: [403, "permission_denied"],
      IllegalMove: [409, "failed_precondition"],
      ResourceExhausted: [429, "resource_exhausted"],
      Unavailable: [503, "unavailable"],
      Internal: [500, "internal"],
    }[reason];
    const message = reason === "Internal" ? "internal error" : "why";
    expect([status, body]).toEqual([expected[0], { code: expected[1], message }]);
    expect(front.logged).toHaveLength(reason === "Internal" ? 1 : 0);
  });
});

describe.each(Object.entries(TRANSPORTS))("logs over %s", (_name, transport) => {
  it("are the same", async () => {
    const client = createClient(LogsService, transport(front.url));
    const { logs } = await client.getTaskLogs({ jobId: "job-1", tailBytes: 5, role: "host" });
    expect(logs).toMatchObject([{ taskAlias: "psi", exitCode: 0, text: "it ran\n" }, { signal: "SIGKILL" }]);
    expect(logs[1]?.exitCode).toBeUndefined();
    expect(front.logs.queries[0]?.query).toEqual({
      jobId: "job-1",
      task: "",
      domain: "",
      role: "host",
      attempt: 0,
      tailBytes: 5,
    });
  });

  it("refuse what breaks a rule", async () => {
    const client = createClient(LogsService, transport(front.url));
    await expect(client.getTaskLogs({})).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: "job_id: must not be empty",
    });
    await expect(client.getTaskLogs({ jobId: "a", attempt: -1 })).rejects.toMatchObject({
      rawMessage: "attempt: must not be negative, got -1",
    });
    await expect(client.getTaskLogs({ jobId: "a" })).rejects.toMatchObject({
      code: Code.NotFound,
      rawMessage: 'job "a" not found',
    });
  });
});
