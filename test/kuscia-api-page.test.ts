/**
 * docs/kuscia-api.md against a server process: its examples are run in order, and each must answer what the page prints
 * below it. Times and generated task ids may differ. What the page says about codes and paths is compared with the
 * table of calls.
 */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppImageService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobService } from "../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { kusciaCalls } from "../src/surfaces/kuscia/routes.js";
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
      if (awaited) await reaches(awaited);
      const output = await run(definitions + here);
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

interface Example {
  readonly commands: string;
  /** JSON, or JSON lines; undefined where the page prints none. */
  readonly answer: string | undefined;
  /** Where the page says "Once `job` is State:" above it. */
  readonly awaited: Awaited | undefined;
}

function examplesOf(text: string): Example[] {
  const block = /(?:^Once `(\w+)` is (\w+):\n\n)?^```sh\n([^]*?)^```$(?:\n\n```jsonl?\n([^]*?)^```$)?/gm;
  return [...text.matchAll(block)].map(([, jobId, state, commands = "", answer]) => ({
    commands,
    answer,
    awaited: jobId === undefined || state === undefined ? undefined : { jobId, state },
  }));
}

/** What a command wrote to stdout. Fails with what it wrote to stderr unless it ends with 0. */
async function run(commands: string): Promise<string> {
  const child = spawn("bash", ["-euo", "pipefail", "-c", commands], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  const [code]: unknown[] = await once(child, "close");
  expect(code, `${commands}\n${complaints}`).toBe(0);
  return output;
}

/** The values of JSON, or of JSON lines, with a word in place of what differs from run to run. */
function comparable(text: string): unknown {
  const here = text
    .replaceAll(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/g, '"a time"')
    .replaceAll(/"([\w-]+)-[0-9a-f]{12}"/g, '"$1-made"');
  const isOne = !here.trimEnd().includes("}\n{");
  return isOne ? JSON.parse(here) : here.trimEnd().split("\n").map((line) => JSON.parse(line) as unknown);
}
