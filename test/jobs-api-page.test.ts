/** docs/jobs-api.md against a server process: its examples are run in order, and each must answer what the page prints. */

import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { JobsService, ListJobsRequestSchema } from "../gen/muster/v1/jobs_pb.js";
import { SHOWN_STATUSES } from "../src/core/list.js";
import { examplesOf, runExample, valuesOf } from "./api-page.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { postJson, readLines } from "./front.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const page = await readFile("docs/jobs-api.md", "utf8");
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

describe.skipIf(!hasCurl)("its examples", () => {
  let folder: string;
  let database: TestDatabase;
  let server: ServerProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "muster-jobs-"));
    for (const [, name = "", content = ""] of page.matchAll(/`\/tmp\/muster-jobs\/([\w.]+)`:\n\n```\w+\n([^]*?)^```$/gm)) {
      await writeFile(join(folder, name), content);
    }
    database = await createTestDatabase();
    server = await startServerProcess({ databaseUrl: database.url, args: ["--config", join(folder, "muster.yaml")] });
  });

  afterAll(async () => {
    const exitCode = await server.stop();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
    expect(exitCode, server.logs()).toBe(0);
  });

  test("answer what it prints below them", { timeout: 120_000 }, async () => {
    const examples = examplesOf(page);
    expect(examples.length).toBeGreaterThan(20);
    let definitions = "";
    for (const { commands, answer, awaited } of examples) {
      const here = commands.replaceAll("127.0.0.1:8082", server.url.replace("http://", ""));
      // Without an answer it is what the other examples need to be said before.
      if (answer === undefined) {
        definitions += here;
        continue;
      }
      if (awaited !== undefined) await reaches(awaited);
      expect(comparable(await runExample(definitions + here)), commands).toEqual(valuesOf(answer));
    }
  });

  /** "Once `job` is State:" */
  async function reaches(sentence: string): Promise<void> {
    const [, jobId, state] = /^Once `([\w.]+)` is (\w+):$/.exec(sentence) ?? [];
    for await (const line of readLines(await postJson(`${server.url}/api/v1/job/watch`, { timeout_seconds: 60 }))) {
      // The frames are the server's own.
      const { object } = line as { readonly object?: { readonly job_id: string; readonly status: { readonly state: string } } };
      if (object?.job_id === jobId && object?.status.state === state) return;
    }
    throw new Error(`not so within a minute: ${sentence}`);
  }
});

/** The answer with a word in place of what differs from run to run. */
function comparable(text: string): unknown {
  return valuesOf(
    text
      .replaceAll(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"/g, '"a time"')
      .replaceAll(/"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"/g, '"a uid"')
      .replaceAll(/"[0-9a-f]{64}"/g, '"a hash"')
      .replaceAll(/"duration":"[\d.]+s"/g, '"duration":"a duration"')
      .replaceAll(/"revision":"\d+"/g, '"revision":"a revision"')
      .replaceAll(/"([\w.-]+)-[0-9a-f]{12}"/g, '"$1-made"'),
  );
}

describe("what it says", () => {
  test("has a section for every call, with its path", () => {
    for (const method of JobsService.methods) expect(page).toContain(`\n## ${method.name}\n\n\`GET /v1/jobs`);
  });

  test("names every filter and every status, and no other", () => {
    const cells = (heading: string): string[] => {
      const table = page.split(`\n### ${heading}\n`)[1]?.split(/\n##/)[0] ?? "";
      return [...table.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell = ""]) => [...cell.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name));
    };
    const others = ["page_size", "page_token", "order_by", "count"];
    const fields = ListJobsRequestSchema.fields.map((field) => field.name).filter((name) => !others.includes(name));
    expect(cells("Filters").toSorted()).toEqual(fields.toSorted());
    expect(cells("Status")).toEqual([...SHOWN_STATUSES]);
  });
});
