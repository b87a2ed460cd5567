/** Who may do what over this surface, with a name and a password, and how refusals read. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createAuthenticator } from "../../../src/access.js";
import { taskOf } from "../../core/fixtures.js";
import { type Kylin, openKylin } from "./harness.js";

const CREDENTIALS = `
- {name: ops, role: master, token: ops-token}
- {name: alice, role: domain, domain: alice, token: "alice:token"}
- {name: bob, role: domain, domain: bob, token: bob-token}
- {name: carol, role: domain, domain: carol, token: carol-token}
- {name: old, role: domain, domain: alice, token: old-token, expires: 2020-01-01}
`;

let folder: string;
let kylin: Kylin;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-kylin-"));
  const credentialsFile = join(folder, "credentials.yaml");
  await writeFile(credentialsFile, CREDENTIALS);
  const authenticate = createAuthenticator({
    tokenFile: null,
    credentialsFile,
    certificates: false,
    domains: null,
    rateLimit: null,
    now: Date.now,
    onReload: () => undefined,
  });
  kylin = await openKylin({ authenticate });
});
afterAll(async () => {
  await kylin.close();
  await rm(folder, { recursive: true });
});

const basic = (user: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });
const ALICE = basic("ADMIN", "alice:token");
const BOB = basic("", "bob-token");
const CAROL = basic("carol", "carol-token");
const OPS = basic("ops", "ops-token");

/** alice's, with bob in it, who approves his jobs by hand. */
const sharedJob = (): Promise<string> => kylin.submit({ tasks: [taskOf("a", { taskId: "" })] });

describe("without a good password", () => {
  test.each([
    {},
    basic("ADMIN", "KYLIN"),
    basic("ops", "OPS-TOKEN"),
    basic("ops-token", ""),
    basic("alice", "old-token"),
    { authorization: "Basic" },
    { authorization: "Basic ops-token" },
    { authorization: "Digest ops-token" },
  ])("%o is refused with an envelope and a challenge", async (headers) => {
    for (const line of ["GET /jobs?timeFilter=4", "PUT /jobs/x/pause", "DELETE /jobs/x/drop"]) {
      const answer = await kylin.call(line, headers);
      const text = answer.msg;
      expect(answer).toMatchObject({ status: 401, code: "999", data: null, exception: text, stacktrace: "" });
      expect(text).not.toBe("");
      expect(answer.type).toBe("application/vnd.apache.kylin-v2+json;charset=UTF-8");
      expect(answer.url).toBe(`${kylin.url}/kylin/api${line.split(" ")[1]}`);
      expect(answer.headers.get("www-authenticate")).toBe('Basic realm="muster", charset="UTF-8"');
    }
  });
});

test("the password is the token; the user's name says nothing", async () => {
  const jobId = await sharedJob();
  for (const headers of [OPS, basic("", "ops-token"), basic("bob", "ops-token"), { authorization: "Bearer ops-token" }, { token: "ops-token" }]) {
    expect((await kylin.call(`GET /jobs/${jobId}`, headers)).status).toBe(200);
  }
});

test("a domain finds and sees the jobs in which it takes part", async () => {
  const jobId = await sharedJob();
  const sizeFor = async (headers: Record<string, string>): Promise<number> =>
    (await kylin.call<{ size: number }>(`GET /jobs?timeFilter=4&jobName=${jobId}`, headers)).data.size;
  expect(await Promise.all([ALICE, BOB, CAROL, OPS].map(sizeFor))).toEqual([1, 1, 0, 1]);
  const answer = await kylin.call(`GET /jobs/${jobId}`, CAROL);
  expect([answer.status, answer.msg]).toEqual([404, `job "${jobId}" not found`]);
  expect((await kylin.call(`GET /jobs/${jobId}/steps/${jobId}-00/output`, CAROL)).msg).toBe(answer.msg);
});

test("who may not do a thing is told so", async () => {
  const jobId = await sharedJob();
  const answer = await kylin.call(`PUT /jobs/${jobId}/pause`, CAROL);
  expect(answer).toMatchObject({ status: 403, code: "999", data: null, msg: `domain "carol" takes no part in job "${jobId}"` });
  expect((await kylin.call(`PUT /jobs/${jobId}/pause`, BOB)).data.job_status).toBe("STOPPED");
  expect((await kylin.call(`PUT /jobs/${jobId}/resume`, BOB))).toMatchObject({ status: 403, msg: `only the initiator may restart job "${jobId}"` });
  expect((await kylin.call(`PUT /jobs/${jobId}/resume`, ALICE)).data.job_status).toBe("PENDING");
  expect((await kylin.call(`PUT /jobs/${jobId}/cancel`, BOB)).data.job_status).toBe("DISCARDED");
  expect((await kylin.call(`DELETE /jobs/${jobId}/drop`, BOB)).status).toBe(403);
  expect((await kylin.call(`DELETE /jobs/${jobId}/drop`, ALICE)).data).toMatchObject({ uuid: jobId, job_status: "DISCARDED" });
});

test("a domain reads its own output only", async () => {
  const jobId = await sharedJob();
  await kylin.store.jobs.approve(jobId, { decision: "JobAccepted", reason: "" }, { role: "domain", domain: "bob" });
  await kylin.start(jobId);
  kylin.outputs.set("alice", { text: "alice's\n", truncated: false });
  kylin.outputs.set("bob", { text: "bob's\n", truncated: false });
  const output = async (headers: Record<string, string>): Promise<string> =>
    (await kylin.call<{ cmd_output: string }>(`GET /jobs/${jobId}/steps/${jobId}-00/output`, headers)).data.cmd_output;
  expect([await output(ALICE), await output(BOB)]).toEqual(["alice's\n", "bob's\n"]);
  expect(await output(OPS)).toBe("==> alice, attempt 1 <==\nalice's\n==> bob, attempt 1 <==\nbob's\n");
});

test("who asks too often is told to wait", async () => {
  const hurried = await openKylin({ authenticate: () => ({ kind: "TooMany", waitMs: 1500 }) });
  try {
    const answer = await hurried.call("PUT /jobs/x/cancel");
    expect(answer).toMatchObject({ status: 429, code: "999", data: null, exception: answer.msg });
    expect(answer.headers.get("retry-after")).toBe("2");
  } finally {
    await hurried.close();
  }
});
