/** The list, through a real server on a real store, and how its orders are put together. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { invalid } from "../../../src/core/error.js";
import type { JobView } from "../../../src/core/job.js";
import { type JobPage, type JobQuery, MAX_OFFSET, SHOWN_STATUSES } from "../../../src/core/list.js";
import { listJobs } from "../../../src/surfaces/kylin/list.js";
import { listParameters } from "../../../src/surfaces/kylin/parameters.js";
import type { JobObject } from "../../../src/surfaces/kylin/translate.js";
import { definitionOf, MASTER, taskOf } from "../../core/fixtures.js";
import { viewOf } from "../../fakes.js";
import { type Kylin, openKylin } from "./harness.js";

interface Page {
  readonly size: number;
  readonly jobs: readonly JobObject[];
}

let kylin: Kylin;
beforeAll(async () => {
  kylin = await openKylin();
  for (const [i, status] of [...SHOWN_STATUSES, ...SHOWN_STATUSES].entries()) {
    await kylin.jobThatIs(status, {
      jobId: `${["daily", "hourly", "weekly"][i % 3]}-${String(i * 7 % 12).padStart(2, "0")}`,
      customFields: i % 2 === 0 ? { "kylin.project": "Learn_Kylin", "kylin.cube": `cube-${(i * 5) % 4}` } : {},
    });
  }
});
afterAll(() => kylin.close());

async function list(query: string): Promise<Page> {
  const answer = await kylin.call<Page>(`GET /jobs?${query}`);
  expect([answer.status, answer.code, answer.msg, answer.headers.get("muster-size")]).toEqual([200, "000", "", null]);
  return answer.data;
}
const names = ({ jobs }: Page): string[] => jobs.map((job) => job.name);

test("all of them, and each as it is shown alone", async () => {
  const page = await list("timeFilter=4&pageSize=20&pageOffset=0");
  expect([page.size, page.jobs.length]).toEqual([12, 12]);
  const [first] = page.jobs;
  const alone = await kylin.call(`GET /jobs/${first?.uuid}`);
  expect({ ...first, duration: 0, steps: [] }).toEqual({ ...alone.data, duration: 0, steps: [] });
  expect(first?.steps.map((step) => step.id)).toEqual([`${first?.uuid}-00`, `${first?.uuid}-01`]);
});

describe("filters", () => {
  const NUMBERS = { PENDING: 1, RUNNING: 2, FINISHED: 4, ERROR: 8, DISCARDED: 16, STOPPED: 32 } as const;

  test.each(Object.entries(NUMBERS))("%s is %d", async (status, number) => {
    const page = await list(`timeFilter=4&status=${number}`);
    expect([page.size, ...page.jobs.map((job) => job.job_status)]).toEqual([2, status, status]);
  });

  test("statuses are repeated or separated by commas", async () => {
    const expected = ["DISCARDED", "DISCARDED", "ERROR", "ERROR", "PENDING", "PENDING"];
    for (const query of ["status=8&status=16&status=0", "status=8,16,1", "status=&status=0,1&status=16,8"]) {
      const page = await list(`timeFilter=4&${query}`);
      expect(page.jobs.map((job) => job.job_status).toSorted()).toEqual(expected);
    }
  });

  test("a part of the name, in either case", async () => {
    expect((await list("timeFilter=4&jobName=HOURLY-")).size).toBe(4);
    expect(new Set(names(await list("timeFilter=4&jobName=Y-0")).map((name) => name.slice(-5, -1)))).toEqual(new Set(["ly-0"]));
    expect(await list("timeFilter=4&jobName=monthly")).toEqual({ size: 0, jobs: [] });
    expect(await list("timeFilter=4&jobName=%25")).toEqual({ size: 0, jobs: [] });
  });

  test("the project, whole and in either case; one that nobody has finds nothing", async () => {
    const page = await list("timeFilter=4&projectName=learn_kylin");
    expect([page.size, new Set(page.jobs.map((job) => job.projectName))]).toEqual([6, new Set(["Learn_Kylin"])]);
    expect((await list("timeFilter=4&projectName=learn")).size).toBe(0);
  });

  test.each([
    [0, [12, 12, 12, 12, 12]],
    [3, [0, 12, 12, 12, 12]],
    [20, [0, 0, 12, 12, 12]],
    [100, [0, 0, 0, 12, 12]],
    [400, [0, 0, 0, 0, 12]],
  ])("the time of the last change, %d days ago", async (days, expected) => {
    kylin.clock.aheadMs = days * 86_400_000;
    try {
      expect(await Promise.all([0, 1, 2, 3, 4].map(async (number) => (await list(`timeFilter=${number}`)).size))).toEqual(expected);
    } finally {
      kylin.clock.aheadMs = 0;
    }
  });
});

describe("orders", () => {
  const by = (name: "last_modified" | "name" | "related_cube" | "job_status") => (job: JobObject): string | number => job[name];
  const KEYS = {
    last_modify: by("last_modified"),
    last_modified: by("last_modified"),
    job_name: by("name"),
    cube_name: by("related_cube"),
    job_status: by("job_status"),
  } as const;

  test.each(Object.entries(KEYS))("%s goes both ways", async (key, valueOf) => {
    for (const reverse of [true, false]) {
      const { jobs } = await list(`timeFilter=4&pageSize=100&sortby=${key}&reverse=${reverse}`);
      const values = jobs.map(valueOf);
      const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      expect(values).toEqual(reverse ? sorted.toReversed() : sorted);
    }
  });

  test("without a word it is the last change, latest first; create_time is the order of making", async () => {
    expect(names(await list("timeFilter=4&pageSize=100"))).toEqual(names(await list("timeFilter=4&pageSize=100&sortBy=last_modify&reverse=true")));
    const made = await kylin.store.query<{ job_id: string }>("select job_id from jobs order by uid");
    expect(names(await list("timeFilter=4&pageSize=100&sortby=create_time&reverse=false"))).toEqual(made.map((row) => row.job_id));
  });

  test("pages are the cuts of one order, whatever it is", async () => {
    const keys = [...Object.keys(KEYS), "create_time", "duration"];
    const anyQuery = fc.record({ key: fc.constantFrom(...keys), reverse: fc.boolean(), status: fc.constantFrom("", "2,32", "4"), pageSize: fc.integer({ min: 1, max: 7 }) });
    await fc.assert(
      fc.asyncProperty(anyQuery, async ({ key, reverse, status, pageSize }) => {
        const query = `timeFilter=4&sortby=${key}&reverse=${reverse}&status=${status}`;
        const whole = await list(`${query}&pageSize=1000`);
        const joined: string[] = [];
        for (let offset = 0; offset <= whole.size / pageSize; offset++) {
          const page = await list(`${query}&pageSize=${pageSize}&pageOffset=${offset}`);
          expect(page.size).toBe(whole.size);
          joined.push(...names(page));
        }
        expect(joined).toEqual(names(whole));
      }),
      { numRuns: 20 },
    );
  });
});

describe("pages", () => {
  test("have ten jobs, none where none is asked for, and none past the end", async () => {
    expect(await list("timeFilter=4")).toMatchObject({ size: 12, jobs: { length: 10 } });
    for (const key of ["last_modify", "job_status", "cube_name"]) {
      expect(await list(`timeFilter=4&pageSize=0&sortby=${key}`)).toEqual({ size: 12, jobs: [] });
      expect(await list(`timeFilter=4&pageSize=6&pageOffset=2&sortby=${key}`)).toEqual({ size: 12, jobs: [] });
    }
  });

  test.each([
    ["", "timeFilter: is required: 0 (last day), 1 (last week), 2 (last month), 3 (last year) or 4 (all)"],
    ["timeFilter=4&status=3", 'status: must be one of 0, 1, 2, 4, 8, 16, 32, got "3"'],
    ["timeFilter=4&pageSize=1001", 'pageSize: must be at most 1000, got "1001"'],
    ["timeFilter=4&pageSize=10&pageOffset=1001", "pageOffset: a page must begin within the first 10000 jobs, got 1001; narrow the filter instead"],
  ])("of %s are refused", async (query, message) => {
    const answer = await kylin.call(`GET /jobs?${query}`);
    expect([answer.status, answer.code, answer.data, answer.msg, answer.exception]).toEqual([400, "999", null, message, message]);
    expect(answer.url).toBe(`${kylin.url}/kylin/api/jobs${query === "" ? "" : `?${query}`}`);
  });
});

describe("of more jobs than can be counted", () => {
  const view = viewOf(definitionOf([taskOf("a")]));
  const wide = { ...view, job: { ...view.job, counts: { ...view.job.counts, total: 128 } } };
  /** Always has more, and counts by estimate. */
  const endlessly = (each: JobView) => ({
    list: async ({ pageSize, count }: JobQuery): Promise<JobPage> => ({
      jobs: Array.from({ length: pageSize }, () => each),
      nextPageToken: "more",
      count: count ? { value: 50_000, exact: false } : null,
    }),
    queryMany: async (): Promise<never> => Promise.reject(new Error("not asked for")),
  });
  const listOf = (query: string, each = view) => listJobs(endlessly(each), listParameters(new URLSearchParams(query), 0), MASTER);
  const refused = (message: string) => ({ reason: "InvalidArgument", message });

  test("the size is told to be an estimate, of statuses the sum of theirs", async () => {
    expect((await listOf("timeFilter=4")).size).toEqual({ value: 50_000, exact: false });
    const { views, size } = await listOf(`timeFilter=4&sortby=job_status&pageSize=10&pageOffset=${MAX_OFFSET / 10}`);
    expect([views.length, size]).toEqual([10, { value: 300_000, exact: false }]);
  });

  test("there is no order by cube", async () => {
    const message = "sortby: cube_name sorts at most 1000 jobs, and here are 50000; narrow the filter";
    await expect(listOf("timeFilter=4&sortby=cube_name")).rejects.toMatchObject(refused(message));
  });

  test("a page of too many steps is refused, whoever finds that out", async () => {
    const message = "pageSize: the jobs of this page have more than 20000 steps; ask for fewer jobs at once";
    await expect(listOf("timeFilter=4&pageSize=200", wide)).rejects.toMatchObject(refused(message));
    const full = { ...endlessly(view), list: async (): Promise<never> => Promise.reject(invalid("page_size", "too many tasks")) };
    await expect(listJobs(full, listParameters(new URLSearchParams("timeFilter=4"), 0), MASTER)).rejects.toMatchObject(refused(message));
  });
});
