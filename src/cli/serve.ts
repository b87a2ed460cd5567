/** The commands that touch the inside: `serve` and `migrate`. */

import { type Config, loadConfig } from "../config.js";
import { startMuster } from "../main.js";
import { migrate } from "../store/migrate.js";
import { startEmbeddedPostgres } from "../postgres.js";
import { createLog } from "../telemetry.js";
import { askedToEnd } from "./signals.js";
import { join } from "node:path";

type Flags = Readonly<Record<string, string | undefined>>;

/**
 * Runs until SIGINT or SIGTERM; then drains and ends with exit code 0. Another one, more than a second later, ends at
 * once. One that comes during the start is heeded when the start is done, so that no Postgres is left half started.
 */
export async function serve(flags: Flags, version: string): Promise<void> {
  const config = loadConfig({ flags });
  const log = createLog(config.logLevel);
  process.on("unhandledRejection", (reason) => log.fatal({ err: reason }, "a rejection that nobody handled"));
  const signalled = askedToEnd(["SIGINT", "SIGTERM"]);
  const muster = await startMuster(config, log, version);
  const ending = await Promise.race([signalled, muster.broken]);
  const asked = ending === "SIGINT" || ending === "SIGTERM";
  if (asked) log.info({ signal: ending }, "stopping");
  else log.fatal(ending);
  await muster.stop();
  log.info("stopped");
  process.exitCode = asked ? 0 : 1;
  // A worker's tie to its primary would keep it.
  if (process.connected) process.disconnect();
}

export async function migrateDatabase(flags: Flags): Promise<void> {
  const config = loadConfig({ flags });
  const applied = await withDatabase(config, migrate);
  console.log(applied.length === 0 ? "nothing to do" : `applied ${applied.join(", ")}`);
}

async function withDatabase<T>(config: Config, work: (connectionString: string) => Promise<T>): Promise<T> {
  if (config.databaseUrl !== null) return work(config.databaseUrl);
  const postgres = await startEmbeddedPostgres({ dataDirectory: join(config.dataDirectory, "postgres") });
  try {
    return await work(postgres.connectionString);
  } finally {
    await postgres.stop();
  }
}
