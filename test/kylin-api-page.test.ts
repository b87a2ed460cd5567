/**
 * docs/kylin-api.md against a server process: its examples are run in order, and each must answer what the page prints
 * below it, but for times and the runner's name. Its tables are compared with those of the code.
 */

import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SHOWN_STATUSES } from "../src/core/list.js";
import { SORT_KEYS } from "../src/surfaces/kylin/parameters.js";
import { kylinRoutes } from "../src/surfaces/kylin/routes.js";
import { ACTIONS, type ActionName, JOB_STATUS, SHOWN_OF_NUMBER } from "../src/surfaces/kylin/states.js";
import { CUSTOM_FIELDS } from "../src/surfaces/kylin/translate.js";
import { examplesOf, runExample, valuesOf } from "./api-page.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { FakeJobs, FakeLogs } from "./fakes.js";
import { postJson, readLines } from "./front.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const page = await readFile("docs/kylin-api.md", "utf8");
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

describe.skipIf(!hasCurl)("its examples", () => {
  let database: TestDatabase;
  let server: ServerProcess;
  beforeAll(async () => {
    database = await createTestDatabase();
    server = await startServerProcess({ databaseUrl: database.url });
  });
  afterAll(async () => {
    const exitCode = await server.stop();
    await database.drop();
    expect(exitCode, server.logs()).toBe(0);
  });

  test("answer what it prints below them", { timeout: 120_000 }, async () => {
    const examples = examplesOf(page.replaceAll("127.0.0.1:8082", server.url.replace("http://", "")));
    expect(examples.length).toBeGreaterThan(10);
    let definitions = "";
    for (const { commands, answer, awaited } of examples) {
      // Without an answer it is what the other examples need to be said before.
      if (answer === undefined) {
        definitions += commands;
        continue;
      }
      if (awaited !== undefined) await happens(awaited);
      expect(comparable(await runExample(definitions + commands)), commands).toEqual(comparable(answer));
    }
  });

  /** "Once step `alias` of `job` runs:" */
  async function happens(sentence: string): Promise<void> {
    const [, alias, jobId] = /^Once step `(\w+)` of `(\w+)` runs:$/.exec(sentence) ?? [];
    for await (const line of readLines(await postJson(`${server.url}/api/v1/job/watch`, { timeout_seconds: 60 }))) {
      // The frames are the server's own.
      const { object } = line as Frame;
      const task = object?.job_id === jobId && object?.status.tasks.find((each) => each.alias === alias);
      if (task && task.state === "Running") return;
    }
    throw new Error(`has not happened: ${sentence}`);
  }
});

/** What is read of a frame of WatchJob. */
interface Frame {
  readonly object?: {
    readonly job_id: string;
    readonly status: { readonly tasks: readonly { readonly alias: string; readonly state: string }[] };
  };
}

/** A time stays a time, and 0 stays 0; how long something took is not compared. */
function comparable(text: string): unknown {
  return valuesOf(
    text
      .replaceAll(/\b1\d{12}\b/g, "1000000000000")
      .replaceAll(/"(duration|mr_waiting|exec_wait_time)": ?\d+/g, '"$1":0')
      .replaceAll(/"mapReduceWaitTime": ?"\d+"/g, '"mapReduceWaitTime":"0"')
      .replaceAll(/"(runner|build_instance)": ?"[^"]+"/g, '"$1":"runner"')
      .replaceAll(/"version": ?"\d+\.\d+\.\d+"/g, '"version":"x"'),
  );
}

describe("its tables", () => {
  const rows = [...page.matchAll(/^\| ([^|]+) \|(.*)\|$/gm)].map(([, first = "", rest = ""]) => ({ first, cells: rest.split("|").map((cell) => cell.trim()) }));
  const named = (first: string) => rows.filter((row) => row.first === first).map((row) => row.cells);

  test("name every call", () => {
    const dependencies = { jobs: new FakeJobs(), logs: new FakeLogs(), now: () => 0, version: "", log: pino({ level: "silent" }) };
    const calls = kylinRoutes(dependencies).map(({ method, path }) => `\`${method} ${path}\``);
    expect(rows.map((row) => row.first).filter((first) => first.includes("/kylin/api/"))).toEqual(calls);
  });

  test("have the numbers of the statuses, and what each action does in each", () => {
    const RESULT = { pause: "STOPPED", resume: "PENDING", cancel: "DISCARDED", drop: "gone" } as const satisfies Record<ActionName, string>;
    for (const status of SHOWN_STATUSES) {
      const numbers = [...SHOWN_OF_NUMBER].filter(([, shown]) => shown === status).map(([number]) => number);
      const cells = (Object.keys(RESULT) as ActionName[]).map((action) => {
        const rule = ACTIONS[action].rules[status];
        return rule === "apply" ? RESULT[action] : rule === "repeat" ? "no change" : "-";
      });
      const tables = named(JOB_STATUS[status]);
      expect(tables.map(([cell]) => cell)).toContain(numbers.join(" or "));
      expect(tables).toContainEqual(cells);
    }
  });

  test("name every sort key and every custom field", () => {
    const sorting = named("`sortby` or `sortBy`")[0]?.[0] ?? "";
    expect(new Set([...sorting.matchAll(/`(\w+)`/g)].map(([, key]) => key))).toEqual(new Set(Object.keys(SORT_KEYS)));
    for (const key of Object.values(CUSTOM_FIELDS)) expect(page).toContain(`\`${key}\``);
  });
});
