/**
 * docs/kuscia-api.md against a server process: its examples are run in order, and each must answer what the page prints
 * below it. Times and generated task ids may differ. What the page says about codes and paths is compared with the
 * table of calls.
 */

import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppImageService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { kusciaCalls } from "../src/surfaces/kuscia/routes.js";
import { examplesOf, runExample, valuesOf } from "./api-page.js";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { FakeImages, FakeJobs } from "./fakes.js";
import { postJson, readLines } from "./front.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

const page = await readFile("docs/kuscia-api.md", "utf8");
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

describe.skipIf(!hasCurl)("its examples", () => {
  let folder: string;
  let database: TestDatabase;
  let server: ServerProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "muster-api-"));
    const files = page.matchAll(/`\/tmp\/muster-api\/([\w.]+)`:\n\n```\w+\n([^]*?)^```$/gm);
    for (const [, name = "", content = ""] of files) {
      await writeFile(join(folder, name), content);
    }
    database = await createTestDatabase();
    server = await startServerProcess({
      databaseUrl: database.url,
      args: ["--config", join(folder, "muster.yaml")],
    });
  });

  afterAll(async () => {
    const exitCode = await server.stop();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
    expect(exitCode, server.logs()).toBe(0);
  });

  test("answer what it prints below them", { timeout: 120_000 }, async () => {
    const examples = examplesOf(page);
    expect(examples.length).toBeGreaterThan(30);
    let definitions = "";
    for (const { commands, answer, awaited } of examples) {
      const here = commands
        .replaceAll("127.0.0.1:8082", server.url.replace("http://", ""))
        .replaceAll("/tmp/muster-api", folder);
      // Without an answer it is what the other examples need to be said before.
      if (answer === undefined) {
        definitions += here;
        continue;
      }
      if (awaited !== undefined) await reaches(awaitedOf(awaited));
      const output = await runExample(definitions + here);
      expect(comparable(output), commands).toEqual(comparable(answer));
    }
  });

  /** Follows the job until it is in the state. */
  async function reaches({ jobId, state }: Awaited): Promise<void> {
    for await (const line of readLines(await postJson(`${server.url}/api/v1/job/watch`, { timeout_seconds: 60 }))) {
      // The frames are the server's own.
      const { object } = line as Frame;
      if (object?.job_id === jobId && object.status.state === state) return;
    }
    throw new Error(`job ${jobId} has not become ${state}`);
  }
});

describe("what it says", () => {
  const calls = kusciaCalls({ jobs: new FakeJobs(), images: new FakeImages(), log: pino({ level: "silent" }) });

  test.each(calls)("about $method.name: path, example and codes", (call) => {
    const { name } = call.method;
    const section = page.split(`\n### ${name}\n`)[1]?.split(/\n##/)[0];
    expect(section).toContain(`POST \`${call.path}\``);
    expect(page).toContain(`\ncurl -sS $S${call.path} `);
    const row = new RegExp(`^\\| ${name} \\| (\\d+) \\|(.*)\\|$`, "m").exec(page);
    expect(Number(row?.[1])).toBe(call.codes.failed);
    const { failed, forbidden, ...further } = call.codes;
    // A caller that may not see a job gets the code of a missing one.
    expect([failed, undefined]).toContain(forbidden);
    expect(row?.[2]?.match(/\d{5}/g)?.map(Number) ?? []).toEqual(Object.values(further));
  });
});

test("it has a section for every call", () => {
  const titles = [...page.matchAll(/^### (\w+)$/gm)].map(([, title = ""]) => title);
  const methods = [...JobService.methods, ...AppImageService.methods].map((method) => method.name);
  expect(titles).toEqual(expect.arrayContaining(methods));
});

/** What is read of a frame of WatchJob. */
interface Frame {
  readonly object?: { readonly job_id: string; readonly status: { readonly state: string } };
}

interface Awaited {
  readonly jobId: string;
  readonly state: string;
}

/** Above an example: "Once `job` is State:". */
function awaitedOf(sentence: string): Awaited {
  const [, jobId, state] = /^Once `(\w+)` is (\w+):$/.exec(sentence) ?? [];
  if (jobId === undefined || state === undefined) throw new Error(`not understood: ${sentence}`);
  return { jobId, state };
}

/** The answer with a word in place of what differs from run to run. */
function comparable(text: string): unknown {
  return valuesOf(
    text
      .replaceAll(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/g, '"a time"')
      .replaceAll(/"revision":\s*"\d+"/g, '"revision":"a revision"')
      .replaceAll(/"([\w-]+)-[0-9a-f]{12}"/g, '"$1-made"'),
  );
}
