/** JobsService on the real engine, over every protocol. */

import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Event, JobsService } from "../../gen/muster/v1/jobs_pb.js";
import { createLogs } from "../../src/logs.js";
import { createServer, type Server } from "../../src/server.js";
import { createMusterSurface } from "../../src/surfaces/muster/surface.js";
import { MASTER } from "../core/fixtures.js";
import { FakeRunner } from "../fake-runner.js";
import { TRANSPORTS } from "../front.js";
import { jobNamed, openTestStore, type TestStore } from "../store/fixtures.js";

let store: TestStore;
let server: Server;
let url: string;
const START = Date.now();

beforeAll(async () => {
  store = await openTestStore({ manualDomains: ["bob"] });
  const log = pino({ level: "silent" });
  const { pool, jobs } = store;
  const surface = createMusterSurface({ jobs, logs: createLogs({ pool, jobs, runner: new FakeRunner() }), now: Date.now, log });
  server = createServer({
    listen: { host: "127.0.0.1", port: 0 },
    surfaces: [surface],
    authenticate: () => ({ kind: "Admitted", actor: MASTER, ambient: true }),
    maxBodyBytes: 1 << 20,
    log,
  });
  url = `http://127.0.0.1:${(await server.start()).port}`;
  for (let n = 0; n < 5; n += 1) {
    const customFields = n % 2 === 0 ? { env: "prod", flow_id: "f" } : {};
    await jobs.submit({ definition: jobNamed(`job-${n}`, { customFields }), surface: "kuscia" }, MASTER);
  }
  await jobs.approve("job-1", { decision: "JobAccepted", reason: "read it" }, MASTER);
  await jobs.command("Cancel", "job-2", MASTER, "a slip");
});
afterAll(async () => {
  await server.stop();
  await store.close();
});

interface Answer {
  readonly jobs: readonly { readonly job_id: string }[];
  readonly next_page_token: string;
}

async function get(path: string): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(url + path);
  return { status: answer.status, body: await answer.json() };
}

async function found(query: string): Promise<string[]> {
  const { status, body } = await get(`/v1/jobs?${query}`);
  expect(status, JSON.stringify(body)).toBe(200);
  return (body as Answer).jobs.map((job) => job.job_id);
}

describe("ListJobs over REST", () => {
  it("is newest first, page by page", async () => {
    const seen: string[] = [];
    let token = "";
    do {
      const { body } = await get(`/v1/jobs?page_size=2&page_token=${token}`);
      seen.push(...(body as Answer).jobs.map((job) => job.job_id));
      token = (body as Answer).next_page_token;
    } while (token !== "");
    expect(seen).toEqual(["job-4", "job-3", "job-2", "job-1", "job-0"]);
  });

  it.each([
    ["order_by=job_id", ["job-0", "job-1", "job-2", "job-3", "job-4"]],
    ["order_by=job_id%20desc&page_size=2", ["job-4", "job-3"]],
    ["custom_fields[env]=prod", ["job-4", "job-2", "job-0"]],
    ["custom_fields%5Benv%5D=prod&custom_fields[flow_id]=g", []],
    ["flow_id=f&states=Cancelled", ["job-2"]],
    ["states=Cancelled&states=Running", ["job-2", "job-1"]],
    ["statuses=Discarded", ["job-2"]],
    ["statuses=Waiting&order_by=create_time%20asc", ["job-0", "job-1", "job-3", "job-4"]],
    ["job_id=job-3", ["job-3"]],
    ["job_id_prefix=job-&domain_id=bob&initiator=alice&page_size=1", ["job-4"]],
    ["job_id_contains=B-4", ["job-4"]],
    ["domain_id=carol", []],
    ["surface=kylin", []],
    [`created_before=${new Date(START - 1000).toISOString()}`, []],
    [`updated_from=${new Date(START - 1000).toISOString()}&page_size=1`, ["job-4"]],
  ])("finds by %s", async (query, expected) => {
    expect(await found(query)).toEqual(expected);
  });

  it("shows a job without its tasks, and counts where it is asked to", async () => {
    const { body } = await get("/v1/jobs?job_id=job-2&count=true");
    expect(body).toEqual({
      jobs: [
        expect.objectContaining({
          job_id: "job-2",
          initiator: "alice",
          state: "Cancelled",
          status: "Discarded",
          reason: "Cancelled",
          message: "cancelled by master: a slip",
          custom_fields: { env: "prod", flow_id: "f" },
          surface: "kuscia",
          created_by: "master",
          counts: { total: 2, live: 0, succeeded: 0, failed: 2 },
          duration: "0s",
          tasks: [],
          commands: [],
        }),
      ],
      next_page_token: "",
      count: { value: "1", exact: true },
    });
  });

  it.each([
    ["page_size=-1", "page_size: must be a whole number from 0 to 2147483647, got \"-1\""],
    ["page_size=x", "page_size: must be a whole number from 0 to 2147483647, got \"x\""],
    ["page_size=1&page_size=2", "page_size: must be given once"],
    ["page_token=x", "page_token: is not a token that this server gave"],
    ["order_by=size", 'order_by: must be one of create_time, update_time, job_id, duration, with " desc" for descending, got "size"'],
    ["order_by=__proto__", 'order_by: must be one of create_time, update_time, job_id, duration, with " desc" for descending, got "__proto__"'],
    [
      "states=Failed&states=failed",
      'states[1]: must be one of AwaitingApproval, Pending, Running, Suspended, Succeeded, Failed, Cancelled, ApprovalReject, got "failed"',
    ],
    ["statuses=", 'statuses[0]: must be one of Waiting, Running, Stopped, Finished, Error, Discarded, got ""'],
    ["created_from=yesterday", 'created_from: must be a time in RFC 3339, such as 2026-01-31T08:00:00Z, got "yesterday"'],
    ["count=1", 'count: must be true or false, got "1"'],
    ["custom_fields=prod", "custom_fields: must be written custom_fields[key]=value"],
    ["initator=alice", "initator: is no parameter of this call"],
    ["states[0]=Failed", "states[0]: is no parameter of this call"],
    ["job_id_contains=%00", "job_id_contains: must not contain U+0000 or a lone surrogate"],
    ["custom_fields[a]=%00", 'custom_fields["a"]: must not contain U+0000 or a lone surrogate'],
  ])("with %s is 400", async (query, message) => {
    expect(await get(`/v1/jobs?${query}`)).toEqual({ status: 400, body: { code: "invalid_argument", message } });
  });

  it("coerces a page size above the greatest", async () => {
    expect(await found("page_size=1000000")).toHaveLength(5);
  });

  it("refuses a token with another filter", async () => {
    const { body } = await get("/v1/jobs?page_size=1");
    const message = "page_token: was given for another filter, order or caller; ask for the first page again";
    const token = (body as Answer).next_page_token;
    expect(await get(`/v1/jobs?page_size=1&flow_id=f&page_token=${token}`)).toEqual({ status: 400, body: { code: "invalid_argument", message } });
    expect(await found(`page_size=3&page_token=${token}`)).toEqual(["job-3", "job-2", "job-1"]);
  });
});

describe("GetJob and ListEvents over REST", () => {
  it("show a job with its tasks and what was done to it", async () => {
    const { status, body } = await get("/v1/jobs/job-2");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      job: {
        job_id: "job-2",
        domains: [
          { domain_id: "alice", asked: false, approval: "JobAccepted" },
          { domain_id: "bob", asked: true, approval: "Waiting" },
        ],
        tasks: [
          { alias: "a", state: "Failed", reason: "NotRun", parties: [{ domain_id: "alice" }, { domain_id: "bob" }] },
          { alias: "b", dependencies: ["a"] },
        ],
        commands: [{ verb: "Cancel", actor: "master", reason: "a slip", result: "Cancelled" }],
      },
    });
    expect(await get("/v1/jobs/none")).toEqual({ status: 404, body: { code: "not_found", message: 'job "none" not found' } });
    expect((await get("/v1/jobs/none/events")).status).toBe(404);
    expect((await get("/v1/jobs/none/logs")).status).toBe(404);
    expect(await get("/v1/jobs/job-2/logs")).toEqual({ status: 200, body: { logs: [] } });
    expect(await get("/v1/jobs/job-2?job_id=job-1")).toEqual({
      status: 400,
      body: { code: "invalid_argument", message: "job_id: must be given once" },
    });
  });

  it("list the history, which is the table's, page by page", async () => {
    const { body } = await get("/v1/jobs/job-1/events?page_size=2");
    const { events, next_page_token: token } = body as { events: { revision: string; kind: string }[]; next_page_token: string };
    expect(events[0]).toMatchObject({ kind: "JobCreated", to: "AwaitingApproval", actor: "master" });
    expect(events).toHaveLength(2);
    const rest = (await get(`/v1/jobs/job-1/events?page_token=${token}`)).body as { events: { revision: string }[]; next_page_token: string };
    expect(rest.next_page_token).toBe("");
    const stored = await store.query<{ revision: string }>("select revision::text from events where job_id = 'job-1' order by revision");
    expect([...events, ...rest.events].map(({ revision }) => revision)).toEqual(stored.map(({ revision }) => revision));
    const after = await get(`/v1/jobs/job-1/events?after_revision=${events[1]?.revision}`);
    expect(after.body).toEqual(rest);
    expect(await get(`/v1/jobs/job-2/events?page_token=${token}`)).toMatchObject({ status: 400 });
    expect(await get("/v1/jobs/job-1/events?after_revision=9223372036854775808")).toMatchObject({
      body: { message: 'after_revision: must be a whole number from 0 to 9223372036854775807, got "9223372036854775808"' },
    });
  });
});

describe.each(Object.entries(TRANSPORTS))("over %s", (_name, transport) => {
  it("jobs, a job and its history are the same", async () => {
    const client = createClient(JobsService, transport(url));
    const { jobs, nextPageToken, count } = await client.listJobs({ customFields: { env: "prod" }, pageSize: 2, count: true });
    expect(jobs.map((job) => job.jobId)).toEqual(["job-4", "job-2"]);
    expect(count).toMatchObject({ value: 3n, exact: true });
    const rest = await client.listJobs({ customFields: { env: "prod" }, pageToken: nextPageToken });
    expect(rest.jobs.map((job) => job.jobId)).toEqual(["job-0"]);
    expect(rest.count).toBeUndefined();
    const { job } = await client.getJob({ jobId: "job-2" });
    expect(job?.tasks.map((task) => task.alias)).toEqual(["a", "b"]);
    const events: Event[] = (await client.listEvents({ jobId: "job-2", pageSize: 5000 })).events;
    const revisions = events.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(events.find(({ kind }) => kind === "Commanded")).toMatchObject({ verb: "Cancel", message: "a slip", actor: "master" });
    expect((await client.getLogs({ jobId: "job-2" })).logs).toEqual([]);
  });

  it.each([
    [{ pageSize: -1 }, "page_size: must not be negative, got -1"],
    [{ pageToken: "x" }, "page_token: is not a token that this server gave"],
    [{ orderBy: "size" }, 'order_by: must be one of create_time, update_time, job_id, duration, with " desc" for descending, got "size"'],
    [{ statuses: ["Dead"] }, 'statuses[0]: must be one of Waiting, Running, Stopped, Finished, Error, Discarded, got "Dead"'],
  ])("a list with %j is refused", async (request, rawMessage) => {
    const client = createClient(JobsService, transport(url));
    await expect(client.listJobs(request)).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage });
  });

  it("what is not there is not found, and nothing is asked for by an empty name", async () => {
    const client = createClient(JobsService, transport(url));
    await expect(client.getJob({ jobId: "none" })).rejects.toMatchObject({ code: Code.NotFound, rawMessage: 'job "none" not found' });
    await expect(client.getJob({})).rejects.toMatchObject({ code: Code.InvalidArgument, rawMessage: "job_id: must not be empty" });
    await expect(client.listEvents({})).rejects.toMatchObject({ code: Code.InvalidArgument });
    await expect(client.listEvents({ jobId: "job-1", afterRevision: -1n })).rejects.toMatchObject({
      rawMessage: "after_revision: must not be negative, got -1",
    });
    await expect(client.getLogs({})).rejects.toMatchObject({ rawMessage: "job_id: must not be empty" });
  });
});

it("a time that only bytes can carry is refused", async () => {
  const client = createClient(JobsService, createGrpcTransport({ baseUrl: url }));
  await expect(client.listJobs({ updatedBefore: { seconds: 10n ** 17n, nanos: 0 } })).rejects.toMatchObject({
    code: Code.InvalidArgument,
    rawMessage: "updated_before: must be a time of the years 1 to 9999",
  });
});
