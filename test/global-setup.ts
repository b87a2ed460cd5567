/** One embedded Postgres for the whole test run; each test file makes its own databases on it (database.ts). */
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startEmbeddedPostgres, type EmbeddedPostgres } from "../src/postgres.js";

const prefix = "muster-test-run-";
let running: { readonly folder: string; readonly postgres: EmbeddedPostgres } | undefined;

export async function setup(project: TestProject): Promise<void> {
  await clearAwayKilledRuns();
  const folder = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}-`));
  // Root starts Postgres as another user, who must be able to enter.
  await chmod(folder, 0o755);
  const postgres = await startEmbeddedPostgres({
    dataDirectory: join(folder, "data"),
    durable: false,
    maxConnections: 200,
  });
  running = { folder, postgres };
  project.provide("postgresUrl", postgres.connectionString);
}

export async function teardown(): Promise<void> {
  if (running === undefined) return;
  await running.postgres.stop();
  await rm(running.folder, { recursive: true, force: true });
}

/** A run that was killed leaves its Postgres running. Starting on its folder stops that one. */
async function clearAwayKilledRuns(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN;
    if (Number.isNaN(pid) || isAlive(pid)) continue;
    const folder = join(tmpdir(), name);
    try {
      const postgres = await startEmbeddedPostgres({ dataDirectory: join(folder, "data"), durable: false });
      await postgres.stop();
    } catch (error) {
      // Without durability its data may be broken, and another run may be clearing it away at this moment.
      console.log(`postgres: cannot start on ${folder}, left by a killed run: ${String(error)}`);
    }
    await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}
