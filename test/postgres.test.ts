import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startEmbeddedPostgres, type EmbeddedPostgres } from "../src/postgres.js";

const holder = fileURLToPath(new URL("fixtures/postgres-holder.ts", import.meta.url));
let parent: string;
let dataDirectory: string;
let logged: string[];
let started: EmbeddedPostgres[];
/** What a failing test must not leave running. */
let children: ChildProcess[];
let orphans: number[];

beforeEach(async () => {
  parent = await makeParent();
  dataDirectory = join(parent, "data");
  logged = [];
  started = [];
  children = [];
  orphans = [];
});

afterEach(async () => {
  await Promise.all(started.map((postgres) => postgres.stop()));
  for (const child of children) child.kill("SIGKILL");
  for (const pid of orphans.filter(isRunning)) process.kill(pid, "SIGQUIT");
  await rm(parent, { recursive: true, force: true });
});

async function makeParent(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "muster-postgres-test-"));
  // Root starts Postgres as another user, who must be able to enter.
  await chmod(folder, 0o755);
  return folder;
}

async function start(options: { durable?: boolean } = { durable: false }): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDirectory, log: (line) => logged.push(line), ...options });
  started.push(postgres);
  return postgres;
}

async function query(url: string, statement: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement, values)).rows;
  } finally {
    await client.end();
  }
}

async function settingsOf(postgres: EmbeddedPostgres): Promise<Record<string, unknown>> {
  const rows = await query(postgres.connectionString, "SELECT name, setting FROM pg_settings");
  return Object.fromEntries(rows.map(({ name, setting }) => [String(name), setting]));
}

/** Starts the holder and reads its lines up to the first that has `field`, whose value it returns. */
async function startHolder(field: "log" | "url") {
  const child = spawn(process.execPath, ["--import", "tsx", holder, dataDirectory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const said: unknown = JSON.parse(line);
    if (typeof said !== "object" || said === null || !(field in said)) continue;
    const pid = "pid" in said ? Number(said.pid) : Number.NaN;
    if ("pid" in said) orphans.push(pid);
    return { child, exited, postgresPid: pid, url: "url" in said ? String(said.url) : "" };
  }
  throw new Error("the holder ended before it said what was awaited");
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("keeps UTF-8 data over a stop and a new start", async () => {
  const first = await start();
  await query(first.connectionString, "CREATE TABLE note (body text)");
  await query(first.connectionString, "INSERT INTO note VALUES ($1)", ["日本語"]);
  await first.stop();
  await first.stop();
  expect(await first.exited).toEqual({ code: 0, signal: null });
  expect(existsSync(first.socketDirectory)).toBe(false);

  const second = await start();
  const rows = await query(second.connectionString, "SELECT body, char_length(body), upper('é') AS upper FROM note");
  expect(rows).toEqual([{ body: "日本語", char_length: 3, upper: "É" }]);
});

test("refuses a second start while the first lives, and leaves the first alone", async () => {
  const { child, exited, url } = await startHolder("url");
  await expect(start()).rejects.toThrow(`${dataDirectory} is in use by process ${child.pid}`);
  expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  child.kill("SIGTERM");
  // The holder ends by itself: a stopped Postgres leaves nothing that keeps Node running.
  expect(await exited).toEqual([0, null]);
  expect(await query((await start()).connectionString, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

test("stops the Postgres that an owner killed with -9 left behind, and goes on with its data", async () => {
  const { child, exited, postgresPid, url } = await startHolder("url");
  await query(url, "CREATE TABLE note AS SELECT 'kept' AS body");
  child.kill("SIGKILL");
  await exited;
  expect(isRunning(postgresPid)).toBe(true);
  const oldSocketFolder = new URLSearchParams(url.split("?")[1]).get("host") ?? "";
  expect(existsSync(oldSocketFolder)).toBe(true);

  const postgres = await start();
  expect(logged).toEqual([expect.stringContaining(`stopping Postgres (process ${postgresPid}), left behind`)]);
  expect(existsSync(oldSocketFolder)).toBe(false);
  expect(await query(postgres.connectionString, "SELECT body FROM note")).toEqual([{ body: "kept" }]);
});

test("recovers when owner and Postgres are killed with -9 in the midst of work", async () => {
  const { child, exited, postgresPid, url } = await startHolder("url");
  await query(url, "CREATE TABLE note AS SELECT 'kept' AS body");
  const busy = new pg.Client(url);
  await busy.connect();
  busy.on("error", () => undefined);
  const notice = once(busy, "notice");
  // A session that computes does not notice by itself that the main process is gone.
  const work = busy
    .query("DO $$ BEGIN RAISE NOTICE 'at work'; LOOP NULL; END LOOP; END $$")
    .catch((error: unknown) => error);
  await notice;
  child.kill("SIGKILL");
  process.kill(postgresPid, "SIGKILL");
  await exited;

  const postgres = await start();
  expect(logged).toContainEqual(expect.stringContaining("left behind"));
  expect(await work).toBeInstanceOf(Error);
  expect(await query(postgres.connectionString, "SELECT body FROM note")).toEqual([{ body: "kept" }]);
});

test("an owner killed with -9 while it makes the data folder leaves nothing that is in the way", async () => {
  const { child, exited } = await startHolder("log");
  child.kill("SIGKILL");
  await exited;
  expect(existsSync(dataDirectory)).toBe(false);
  const postgres = await start();
  expect(await query(postgres.connectionString, "SELECT current_database() AS name")).toEqual([{ name: "muster" }]);
  expect((await readdir(parent)).sort()).toEqual(["data", "data.lock"]);
});

test("refuses data of another major version, and a folder of something else", async () => {
  await mkdir(dataDirectory);
  await writeFile(join(dataDirectory, "letter.txt"), "dear");
  await expect(start()).rejects.toThrow(`${dataDirectory} is neither empty nor a Postgres data folder`);
  expect(await readdir(dataDirectory)).toEqual(["letter.txt"]);
  await writeFile(join(dataDirectory, "PG_VERSION"), "13\n");
  await expect(start()).rejects.toThrow(`${dataDirectory} holds data of Postgres 13, and the embedded Postgres is 18`);
});

test.runIf(process.getuid?.() === 0)("as root, names the folder that the system user cannot enter", async () => {
  await chmod(parent, 0o700);
  await expect(start()).rejects.toThrow(`${parent} is closed to the system user "postgres"`);
  expect(existsSync(dataDirectory)).toBe(false);
});

describe("on a data folder that is there already", () => {
  let made: string;
  beforeAll(async () => {
    made = await makeParent();
    await (await startEmbeddedPostgres({ dataDirectory: join(made, "data"), durable: false })).stop();
  });
  beforeEach(() => {
    dataDirectory = join(made, "data");
  });
  afterAll(() => rm(made, { recursive: true, force: true }));

  test("listens on a socket in a private folder only, with the settings that the store counts on", async () => {
    const postgres = await start();
    expect((await stat(postgres.socketDirectory)).mode & 0o777).toBe(0o700);
    expect(await settingsOf(postgres)).toMatchObject({
      listen_addresses: "",
      max_connections: "60",
      jit: "off",
      fsync: "off",
      idle_in_transaction_session_timeout: "60000",
      server_encoding: "UTF8",
    });
  });

  test("is durable unless told otherwise", async () => {
    const settings = await settingsOf(await start({}));
    expect(settings).toMatchObject({ fsync: "on", full_page_writes: "on", synchronous_commit: "on" });
  });

  test("an end that nobody asked for shows, and the folder may be used again", async () => {
    const postgres = await start();
    process.kill(postgres.pid, "SIGKILL");
    expect(await postgres.exited).toEqual({ code: null, signal: "SIGKILL" });
    await postgres.stop();
    expect(await query((await start()).connectionString, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("a stale postmaster.pid whose pid another program has now is no obstacle", async () => {
    const first = await start();
    const pidFile = await readFile(join(dataDirectory, "postmaster.pid"), "utf8");
    await first.stop();
    const { uid } = await stat(dataDirectory);
    const stranger = spawn("sleep", ["60"], { uid });
    children.push(stranger);
    await once(stranger, "spawn");
    await writeFile(join(dataDirectory, "postmaster.pid"), pidFile.replace(String(first.pid), String(stranger.pid)));
    await start();
    expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  });

  test("a start that fails says what Postgres said, and gives the folder up", async () => {
    const controlFile = join(dataDirectory, "global", "pg_control");
    await rename(controlFile, `${controlFile}.away`);
    await expect(start()).rejects.toThrow(/ended at start with code \d.*It said:[^]*could not find the database/);
    await rename(`${controlFile}.away`, controlFile);
    await start();
  });
});
