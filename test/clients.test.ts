/**
 * Foreign clients against a server process, each a process of its own: what users of other languages do and see. Where
 * a runtime is missing, the test says so and is skipped.
 */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test, type TestContext } from "vitest";
import { prepareData } from "../examples/psi/prepare.mjs";
import { createTestDatabase, type TestDatabase } from "./database.js";
import { type ServerProcess, startServerProcess } from "./server-process.js";

/** The clients wait for many processes of apps, and Go compiles grpc-go first. */
const GENEROUS = { timeout: 240_000 };
const MANUAL_DOMAIN = "carol";

let database: TestDatabase;
let server: ServerProcess;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "muster-clients-"));
  const settings = join(folder, "muster.yaml");
  const domains = { alice: null, bob: null, [MANUAL_DOMAIN]: { approval: "manual" } };
  await writeFile(settings, JSON.stringify({ domains }));
  database = await createTestDatabase();
  server = await startServerProcess({
    databaseUrl: database.url,
    args: ["--config", settings, "--app-images", "examples/psi"],
  });
});

afterAll(async () => {
  const exitCode = await server.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
  expect(exitCode, server.logs()).toBe(0);
});

test("Python with grpcio leads jobs through their life", GENEROUS, async (context) => {
  const python = pythonWithGrpc();
  if (python === undefined) return skip(context, NO_PYTHON);
  const output = await run(context, [python, "test/clients/python/client.py", server.url, MANUAL_DOMAIN]);
  expect(output).toMatch(/all is well\n$/);
  expect(faults()).toEqual([]);
});

test("Python in the manner of kylinpy leads a job through its life", GENEROUS, async (context) => {
  if (!runs("python3", ["--version"])) return skip(context, "no python3");
  const tokens = join(folder, "tokens");
  await writeFile(tokens, "a-token\n");
  // Of its own, since the runners of servers on one database share the work, and the logs are where it was done.
  const apart = await createTestDatabase();
  const guarded = await startServerProcess({ databaseUrl: apart.url, args: ["--token-file", tokens] });
  try {
    const output = await run(context, ["python3", "test/clients/python/kylin.py", guarded.url, "a-token"]);
    expect(output).toMatch(/a wrong password is refused: yes\n[^]*all is well\n$/);
  } finally {
    expect(await guarded.stop(), guarded.logs()).toBe(0);
    await apart.drop();
  }
});

test("Go with grpc-go leads jobs through their life", GENEROUS, async (context) => {
  const missing = missingForGo();
  if (missing !== undefined) return skip(context, missing);
  const output = await run(context, ["test/clients/go/run.sh", server.url, MANUAL_DOMAIN]);
  expect(output).toMatch(/all is well\n$/);
  expect(faults()).toEqual([]);
});

test("curl makes every call over Connect JSON and over REST", GENEROUS, async (context) => {
  if (!runs("curl", ["--version"])) return skip(context, NO_CURL);
  const output = await run(context, ["test/clients/curl.sh", server.url, MANUAL_DOMAIN]);
  expect(output).toMatch(/all is well\n$/);
  expect(faults()).toEqual([]);
});

test("buf curl makes every call over gRPC, gRPC-Web and Connect, by reflection", GENEROUS, async (context) => {
  const output = await run(context, ["test/clients/buf-curl.sh", server.url, MANUAL_DOMAIN]);
  expect(output).toMatch(/all is well\n$/);
  expect(faults()).toEqual([]);
});

describe("docs/clients.md does what it says", () => {
  const sections = new Map<string, string>();
  /** For TLS and for MTLS. */
  const secureServers: ServerProcess[] = [];

  beforeAll(async () => {
    const [, ...parts] = (await readFile("docs/clients.md", "utf8")).split(/^## /m);
    for (const part of parts) sections.set(part.split("\n", 1)[0] ?? "", part);
    // The page lets npm install what this repository has as well.
    await mkdir(join(folder, "node"));
    await symlink(resolve("node_modules"), join(folder, "node/node_modules"));
  });

  test("the server of the examples, and its job", GENEROUS, async (context) => {
    await runSection(context, "The server of the examples");
    await runExampleJob();
  });

  test.for(["curl, Connect JSON", "curl, REST"])("%s", GENEROUS, async (title, context) => {
    if (!runs("curl", ["--version"])) return skip(context, NO_CURL);
    expect(await runSection(context, title)).toMatch(/"job_id":"job-alice-bob-001".*"state":"Succeeded"/);
  });

  test("buf curl", GENEROUS, async (context) => {
    expect(await runSection(context, "buf curl")).toContain('"state": "Succeeded"');
  });

  test("Python", GENEROUS, async (context) => {
    if (pythonWithGrpc() !== "/usr/bin/python3") return skip(context, NO_PYTHON);
    expect(await runSection(context, "Python")).toMatch(/^job-alice-bob-001 Succeeded $/m);
  });

  test("Go", GENEROUS, async (context) => {
    const missing = missingForGo();
    if (missing !== undefined) return skip(context, missing);
    expect(await runSection(context, "Go")).toMatch(/^job-alice-bob-001 Succeeded $/m);
  });

  test("Node.js with grpc-js", GENEROUS, async (context) => {
    expect(await runSection(context, "Node.js with grpc-js")).toMatch(/^job-alice-bob-001 Succeeded $/m);
  });

  describe("over TLS and MTLS", () => {
    const ANSWER = 'job "no-such-job" not found\nthese are all the jobs\n';
    const SENTENCE = /job \\"no-such-job\\" not found/g;

    beforeAll(async () => {
      await runSection(undefined, "TLS and MTLS: the servers");
      const [certs, token] = [join(folder, "certs"), join(folder, "token")];
      const pair = ["--tls-cert", join(certs, "server.crt"), "--tls-key", join(certs, "server.key")];
      for (const args of [
        ["--protocol", "TLS", "--token-file", token],
        ["--protocol", "MTLS", "--tls-ca", join(certs, "ca.crt")],
      ]) {
        const options = [...pair, ...args, "--listen-reports", "127.0.0.1:0"];
        secureServers.push(await startServerProcess({ databaseUrl: database.url, args: options }));
      }
    });

    afterAll(async () => {
      for (const each of secureServers) expect(await each.stop(), each.logs()).toBe(0);
    });

    test("curl", GENEROUS, async (context) => {
      if (!runs("curl", ["--version"])) return skip(context, NO_CURL);
      expect((await runSection(context, "TLS and MTLS: curl")).match(SENTENCE)).toHaveLength(2);
    });

    test("buf curl", GENEROUS, async (context) => {
      expect((await runSection(context, "TLS and MTLS: buf curl")).match(SENTENCE)).toHaveLength(2);
    });

    test("Python", GENEROUS, async (context) => {
      if (pythonWithGrpc() !== "/usr/bin/python3") return skip(context, NO_PYTHON);
      expect(await runSection(context, "TLS and MTLS: Python")).toBe(ANSWER.repeat(2));
    });

    test("Go", GENEROUS, async (context) => {
      const missing = missingForGo();
      if (missing !== undefined) return skip(context, missing);
      expect(await runSection(context, "TLS and MTLS: Go")).toBe(ANSWER.repeat(2));
    });

    test("Node.js", GENEROUS, async (context) => {
      expect(await runSection(context, "TLS and MTLS: Node.js")).toBe(ANSWER.repeat(3));
    });
  });

  /** Writes the section's files and runs its commands, but those that install something or start a server. */
  async function runSection(context: TestContext | undefined, title: string): Promise<string> {
    const section = sections.get(title);
    if (section === undefined) throw new Error(`docs/clients.md has no section "${title}"`);
    const here = section
      .replaceAll("127.0.0.1:8082", server.url.replace("http://", ""))
      .replaceAll(/localhost:(8443|8444)/g, (_, port) => new URL(secureServers[port === "8443" ? 0 : 1]?.url ?? "").host)
      .replaceAll("/tmp/muster-clients", folder)
      .replaceAll(".muster/", `${server.dataDirectory}/`)
      // The job has ended, so nobody has to wait and see.
      .replaceAll('"timeout_seconds":5', '"timeout_seconds":1');
    for (const [, path = "", content = ""] of here.matchAll(/^`(\/[^`]+)`:\n\n```\w+\n([^]*?)^```$/gm)) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, content);
    }
    let output = "";
    for (const [, commands = ""] of here.matchAll(/^```sh\n([^]*?)^```$/gm)) {
      if (/^(apt-get|npm install|npm start) /m.test(commands)) continue;
      output += await run(context, ["bash", "-euo", "pipefail", "-c", commands]);
    }
    return output;
  }
});

describe("README.md's calls do what they say", () => {
  let blocks: string[];

  beforeAll(async () => {
    const section = (await readFile("README.md", "utf8")).split("## Call it\n")[1]?.split("\n## ")[0] ?? "";
    const here = section
      .replaceAll("127.0.0.1:8082", server.url.replace("http://", ""))
      .replaceAll("/tmp/muster-", `${folder}/readme-`)
      .replaceAll('"timeout_seconds": 5', '"timeout_seconds": 1')
      .replaceAll("TimeoutSeconds: 5", "TimeoutSeconds: 1")
      .replaceAll("timeout_seconds=5", "timeout_seconds=1");
    blocks = [...here.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, commands = ""]) => commands);
    expect(blocks).toHaveLength(5);
    const data = (domain: string): string => join(server.dataDirectory, "domains", domain, "data");
    await prepareData(data("alice"), data("bob"));
    await runExampleJob();
  });

  test("REST, Connect JSON and buf curl, one after the other in one shell", GENEROUS, async (context) => {
    if (!runs("curl", ["--version"])) return skip(context, NO_CURL);
    const output = await run(context, ["bash", "-euo", "pipefail", "-c", blocks.slice(0, 3).join("\n")]);
    // Create, query and watch, three times.
    expect(output.match(/"message": ?"success"/g)?.length).toBeGreaterThanOrEqual(6);
    expect(output).toMatch(/^\{"type":4\}$/m);
    expect(output.match(/HEARTBEAT/g)?.length).toBe(2);
  });

  test("Python", GENEROUS, async (context) => {
    if (pythonWithGrpc() !== "/usr/bin/python3") return skip(context, NO_PYTHON);
    const output = await run(context, ["bash", "-euo", "pipefail", "-c", blocks[3] ?? ""]);
    expect(output).toMatch(/^success\nSucceeded\n[^]*^ADDED job-alice-bob-001 Succeeded\n[^]*^HEARTBEAT/m);
  });

  test("Go", GENEROUS, async (context) => {
    const missing = missingForGo();
    if (missing !== undefined) return skip(context, missing);
    const output = await run(context, ["bash", "-euo", "pipefail", "-c", blocks[4] ?? ""]);
    expect(output).toMatch(/^ADDED job-alice-bob-001 Succeeded$/m);
  });
});

/** Runs the job of the page to its end, so that how far it has come is no matter of luck. */
async function runExampleJob(): Promise<void> {
  const headers = { "content-type": "application/json" };
  const post = (call: string, body: string): Promise<Response> =>
    fetch(`${server.url}/api/v1/job/${call}`, { method: "POST", headers, body });
  await post("create", await readFile("examples/psi/request.json", "utf8"));
  const watch = await post("watch", '{"timeout_seconds":120}');
  let frames = "";
  for await (const text of watch.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    frames += text;
    if (frames.includes('"job_id":"job-alice-bob-001","status":{"state":"Succeeded"')) return;
  }
  throw new Error(`the example job has not Succeeded:\n${frames}`);
}

const NO_PYTHON = "no python3 with grpcio and grpcio-tools (Debian: python3-grpcio, python3-grpc-tools)";
const NO_CURL = "no curl";

/** A Python that has what the client imports. */
function pythonWithGrpc(): string | undefined {
  return ["/usr/bin/python3", "python3"].find((python) => runs(python, ["-c", "import grpc_tools.protoc; from grpc import insecure_channel"]));
}

/** Why Go clients cannot be built here, undefined where they can. */
function missingForGo(): string | undefined {
  for (const program of ["go", "protoc", "protoc-gen-go", "protoc-gen-go-grpc"]) {
    if (!runs("sh", ["-c", `command -v ${program}`])) return `no ${program}`;
  }
  const environment = { GO111MODULE: "off", GOFLAGS: "", GOPATH: "/usr/share/gocode" };
  if (!runs("go", ["list", "google.golang.org/grpc"], environment)) return "no Debian package golang-google-grpc-dev";
  // golang/protobuf from 1.4 on is a layer over google.golang.org/protobuf; generated code panics on older ones.
  const imports = spawnSync("go", ["list", "-f", "{{.Imports}}", "github.com/golang/protobuf/proto"], {
    env: { ...process.env, ...environment },
    encoding: "utf8",
  });
  if (imports.stdout.includes("google.golang.org/protobuf")) return undefined;
  return "no Debian package golang-github-golang-protobuf-1-5-dev";
}

function runs(program: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): boolean {
  return spawnSync(program, args, { env: { ...process.env, ...environment } }).status === 0;
}

function skip(context: TestContext, reason: string): void {
  process.stdout.write(`skipped: ${context.task.name}: ${reason}\n`);
  context.skip(reason);
}

/** Runs a program to its end; what it wrote to stdout. Fails with all that it wrote unless it ends with 0. */
async function run(context: TestContext | undefined, [program = "", ...args]: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...(context && { signal: context.signal }) });
  let output = "";
  let all = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    all += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (all += text));
  const [code, signal]: unknown[] = await once(child, "close");
  expect(code, `${program} ${args.join(" ")} ended with ${String(signal ?? code)}:\n${all}`).toBe(0);
  return output;
}

/** What the server has logged as an error; clients must not be able to cause that. */
function faults(): readonly string[] {
  return server.logs().split("\n").filter((line) => /^\{"level":[56]0,/.test(line));
}
