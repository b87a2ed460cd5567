import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JobError } from "../../../src/core/error.js";
import { MAX_PAGE_SIZE } from "../../../src/core/list.js";
import { listParameters, SORT_KEYS } from "../../../src/surfaces/kylin/parameters.js";

const NOW = Date.parse("2024-03-31T12:34:56.789Z");
const read = (query: string, now = NOW) => listParameters(new URLSearchParams(query), now);

function fault(query: string): unknown {
  try {
    return read(query);
  } catch (error) {
    return error instanceof JobError ? [error.reason, error.message] : error;
  }
}
const refused = (message: string) => ["InvalidArgument", message];

test("what is left out, and what is empty, has its default", () => {
  const defaults = {
    modifiedSince: null,
    statuses: [],
    jobName: "",
    projectName: "",
    sortBy: "updated",
    descending: true,
    pageOffset: 0,
    pageSize: 10,
  };
  expect(read("timeFilter=4")).toEqual(defaults);
  expect(read("timeFilter=4&jobName=&projectName=&status=&sortby=&reverse=&pageOffset=&pageSize=&jobId=x&other=1")).toEqual(
    defaults,
  );
});

test("everything can be said", () => {
  const query = "timeFilter=4&jobName=Sales&projectName=p1&status=2&sortby=job_name&reverse=false&pageOffset=3&pageSize=20";
  expect(read(query)).toEqual({
    modifiedSince: null,
    statuses: ["Running"],
    jobName: "Sales",
    projectName: "p1",
    sortBy: "name",
    descending: false,
    pageOffset: 3,
    pageSize: 20,
  });
});

describe("timeFilter", () => {
  test.each([
    ["0", "2024-03-30T12:34:56.789Z"],
    ["1", "2024-03-24T12:34:56.789Z"],
    // February has no 31st day.
    ["2", "2024-02-29T12:34:56.789Z"],
    ["3", "2023-03-31T12:34:56.789Z"],
  ])("%s reaches back to %s", (number, since) => {
    expect(read(`timeFilter=${number}`).modifiedSince).toBe(Date.parse(since));
  });

  test("is required", () => {
    const message = "timeFilter: is required: 0 (last day), 1 (last week), 2 (last month), 3 (last year) or 4 (all)";
    expect(fault("")).toEqual(refused(message));
    expect(fault("timeFilter=")).toEqual(refused(message));
  });

  test.each(["5", "-1", "00", "1.0", "all", "constructor", " 1"])("%s is none", (number) => {
    expect(fault(`timeFilter=${number}`)).toEqual(
      refused(`timeFilter: must be 0 (last day), 1 (last week), 2 (last month), 3 (last year) or 4 (all), got "${number}"`),
    );
  });

  test("windows are nested, and their months end on the same day or on the month's last", () => {
    const anyTime = fc.date({ min: new Date("1990-01-01T00:00:00Z"), max: new Date("2100-01-01T00:00:00Z"), noInvalidDate: true });
    fc.assert(
      fc.property(anyTime, (date) => {
        const now = date.getTime();
        const [day = 0, week = 0, month = 0, year = 0] = [0, 1, 2, 3].map((n) => read(`timeFilter=${n}`, now).modifiedSince ?? 0);
        expect([now - day, now - week]).toEqual([86_400_000, 7 * 86_400_000]);
        for (const [since, months] of [[month, 1], [year, 12]] as const) {
          const then = new Date(since);
          const monthsOf = (d: Date): number => d.getUTCFullYear() * 12 + d.getUTCMonth();
          expect(monthsOf(date) - monthsOf(then)).toBe(months);
          expect(then.toISOString().slice(10)).toBe(date.toISOString().slice(10));
          const nextDay = new Date(since + 86_400_000);
          if (then.getUTCDate() !== date.getUTCDate()) expect(nextDay.getUTCDate()).toBe(1);
        }
        expect(now > day && day > week && week > month && month > year).toBe(true);
      }),
    );
  });
});

describe("status", () => {
  const NAMES = { 0: "Waiting", 1: "Waiting", 2: "Running", 4: "Finished", 8: "Error", 16: "Discarded", 32: "Stopped" } as const;

  test("may be repeated and hold several, in any mix", () => {
    const group = fc.record({
      numbers: fc.array(fc.constantFrom(...([0, 1, 2, 4, 8, 16, 32] as const)), { minLength: 1 }),
      separator: fc.constantFrom(",", "%2C", ", "),
    });
    fc.assert(
      fc.property(fc.array(group), (groups) => {
        const query = groups.map(({ numbers, separator }) => `status=${numbers.join(separator)}`).join("&");
        const expected = groups.flatMap(({ numbers }) => numbers.map((number) => NAMES[number]));
        expect(new Set(read(`timeFilter=4&${query}`).statuses)).toEqual(new Set(expected));
      }),
    );
  });

  test("that the API does not know is refused", () => {
    fc.assert(
      fc.property(fc.integer({ min: -100, max: 5000 }), (number) => {
        fc.pre(!(number in NAMES));
        expect(fault(`timeFilter=4&status=1,${number}`)).toEqual(
          refused(`status: must be one of 0, 1, 2, 4, 8, 16, 32, got "${number}"`),
        );
      }),
    );
  });
});

describe("numbers", () => {
  test("within their bounds are taken", () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.nat(MAX_PAGE_SIZE), (pageOffset, pageSize) => {
        expect(read(`timeFilter=4&pageOffset=${pageOffset}&pageSize=${pageSize}`)).toMatchObject({ pageOffset, pageSize });
      }),
    );
  });

  test.each([
    ["pageSize=-1", 'pageSize: must not be negative, got "-1"'],
    ["pageSize=1001", 'pageSize: must be at most 1000, got "1001"'],
    ["pageSize=ten", 'pageSize: must be a whole number, got "ten"'],
    ["pageOffset=-1", 'pageOffset: must not be negative, got "-1"'],
    ["pageOffset=0.5", 'pageOffset: must be a whole number, got "0.5"'],
    ["pageOffset=1e3", 'pageOffset: must be a whole number, got "1e3"'],
    ["pageOffset=99999999999999999999", 'pageOffset: must be at most 9007199254740991, got "99999999999999999999"'],
  ])("%s is refused", (query, message) => {
    expect(fault(`timeFilter=4&${query}`)).toEqual(refused(message));
  });
});

describe("sorting", () => {
  test.each(Object.entries(SORT_KEYS))("%s", (name, key) => {
    expect(read(`timeFilter=4&sortby=${name}`).sortBy).toBe(key);
    expect(read(`timeFilter=4&sortBy=${name}`).sortBy).toBe(key);
  });

  test.each(["sortby", "sortBy"])("%s is refused where it is unknown", (name) => {
    for (const value of ["name", "toString", "LAST_MODIFY"]) {
      expect(fault(`timeFilter=4&${name}=${value}`)).toEqual(
        refused(`${name}: must be one of last_modify, last_modified, job_name, cube_name, create_time, duration, job_status, got "${value}"`),
      );
    }
  });

  test.each([["true", true], ["TRUE", true], ["1", true], ["false", false], ["0", false]])("reverse=%s", (value, descending) => {
    expect(read(`timeFilter=4&reverse=${value}`).descending).toBe(descending);
  });

  test("reverse is nothing else", () => {
    expect(fault("timeFilter=4&reverse=down")).toEqual(refused('reverse: must be true or false, got "down"'));
  });
});

test("texts must be ones that a name can have", () => {
  expect(fault("timeFilter=4&jobName=a%00")).toEqual(refused("jobName: must not contain U+0000 or a lone surrogate"));
  expect(fault("timeFilter=4&projectName=%00")).toEqual(refused("projectName: must not contain U+0000 or a lone surrogate"));
});

test.each(["timeFilter", "jobName", "pageSize", "reverse"])("%s is given once", (name) => {
  expect(fault(`timeFilter=4&${name}=4&${name}=4`)).toEqual(refused(`${name}: must be given once`));
});
