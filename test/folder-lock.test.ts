import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FolderLockedError, lockFolder } from "../src/folder-lock.js";

const contender = fileURLToPath(new URL("./fixtures/lock-contender.ts", import.meta.url));
let parent: string;
let folder: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "muster-lock-test-"));
  folder = join(parent, "data");
});
afterEach(() => rm(parent, { recursive: true, force: true }));

function startContender() {
  const child = spawn(process.execPath, ["--import", "tsx", contender, folder], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, exited: once(child, "exit"), nextLine: async () => String((await lines.next()).value) };
}

test("a held lock is refused, naming folder and process, until it is released", async () => {
  const lock = await lockFolder(folder);
  const refusal = await lockFolder(folder).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(FolderLockedError);
  expect(refusal).toMatchObject({ pid: process.pid, folder });
  expect(String(refusal)).toContain(`${folder} is in use by process ${process.pid}`);
  await lock.release();
  await lock.release();
  await (await lockFolder(folder)).release();
  expect(await readdir(`${folder}.lock`)).toEqual([]);
});

test("of several processes that want it at once exactly one gets it", async () => {
  const contenders = Array.from({ length: 5 }, startContender);
  for (const { nextLine } of contenders) expect(await nextLine()).toBe("ready");
  for (const { child } of contenders) child.stdin.write("go\n");
  const outcomes = await Promise.all(contenders.map(({ nextLine }) => nextLine()));
  for (const { child } of contenders) child.stdin.end();
  await Promise.all(contenders.map(({ exited }) => exited));
  expect(outcomes.sort()).toEqual([...Array.from({ length: 4 }, () => "FolderLockedError"), "held"]);
});

test("the lock of a process killed with -9 is free", async () => {
  const { child, exited, nextLine } = startContender();
  await nextLine();
  child.stdin.write("go\n");
  expect(await nextLine()).toBe("held");
  await expect(lockFolder(folder)).rejects.toThrow(`in use by process ${child.pid}`);
  child.kill("SIGKILL");
  await exited;
  const lock = await lockFolder(folder);
  expect(await readdir(`${folder}.lock`)).toHaveLength(1);
  await lock.release();
});

test.runIf(process.platform === "linux")("a living process with the pid of a dead holder is not the holder", async () => {
  await mkdir(`${folder}.lock`, { recursive: true });
  await writeFile(join(`${folder}.lock`, `${process.ppid}@00000000.1`), "");
  await (await lockFolder(folder)).release();
});
