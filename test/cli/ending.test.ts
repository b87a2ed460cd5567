/** Ctrl-C, SIGTERM and a closed terminal end `npm run demo`, `npm start` and `muster serve` with all they started. */

import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeFolder, processesOf, type Program, runProgram } from "./programs.js";

let folder: string;
let program: Program | undefined;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(async () => {
  // What a failed test has left.
  for (const line of await processesOf(folder)) process.kill(Number.parseInt(line, 10), "SIGKILL");
  await program?.ended;
  program = undefined;
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

const run = (command: string, ...args: string[]): Program => (program = runProgram(command, args));
const endingOf = (log: string) => [...log.matchAll(/"msg":"(stopping|stopped)"/g)].map(([, message]) => message);

/** Nothing is left, and the server went in its own time: it drained, and stopped its Postgres. */
async function expectCleanEnd(data: string, log: string): Promise<void> {
  // A supervisor goes a moment after its app.
  await expect.poll(() => processesOf(folder), { timeout: 10_000 }).toEqual([]);
  expect(endingOf(log)).toEqual(["stopping", "stopped"]);
  expect(existsSync(join(data, "postgres", "PG_VERSION"))).toBe(true);
  expect(existsSync(join(data, "postgres", "postmaster.pid"))).toBe(false);
}

test.each([
  ["Ctrl-C in the terminal of npm run demo", "SIGINT", "group", 130],
  ["SIGTERM to npm run demo", "SIGTERM", "process", 143],
] as const)("%s, in the middle of its job", async (_name, signal, to, code) => {
  const data = join(folder, "demo");
  const demo = run("npm", "run", "demo", "--", "--data", data);
  await demo.written(/▶ {7}\w+ +Running/);
  expect(await processesOf(join(data, "attempts"))).not.toEqual([]);
  demo.signal(signal, to);
  expect(await demo.ended, demo.text()).toBe(code);
  await expectCleanEnd(data, await readFile(join(data, "server.log"), "utf8"));
});

test("a closed terminal ends the demo while its server is still starting", async () => {
  const data = join(folder, "demo");
  const demo = run("node", "dist/src/cli/muster.js", "demo", "--data", data);
  await expect.poll(() => existsSync(join(data, "server.log")), { interval: 5, timeout: 10_000 }).toBe(true);
  demo.signal("SIGHUP", "group");
  expect(await demo.ended, demo.text()).toBe(129);
  await expectCleanEnd(data, await readFile(join(data, "server.log"), "utf8"));
});

test.each([
  ["SIGTERM", "process"],
  ["SIGINT", "group"],
] as const)("%s to npm start (%s)", async (signal, to) => {
  const data = join(folder, "data");
  const server = run("npm", "start", "--", "--data", data, "--listen", "127.0.0.1:0");
  await server.written(/"listen":"/);
  server.signal(signal, to);
  expect(await server.ended, server.text()).toBe(0);
  await expectCleanEnd(data, server.text());
});

test("SIGTERM to a server that is still starting", async () => {
  const data = join(folder, "data");
  const server = run("node", "dist/src/cli/muster.js", "serve", "--data", data, "--listen", "127.0.0.1:0");
  await expect.poll(() => existsSync(join(data, "postgres.lock")), { interval: 5, timeout: 10_000 }).toBe(true);
  server.signal("SIGTERM");
  expect(await server.ended, server.text()).toBe(0);
  await expectCleanEnd(data, server.text());
});
