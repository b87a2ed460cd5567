/**
 * The Postgres of the benchmark: the embedded one, as durable as the product's, shared by ours and by every baseline.
 * It also keeps the time of each commit, which tells how long an event is under way; the cost is the same for all.
 */

import { join } from "node:path";
import pg from "pg";
import { startEmbeddedPostgres } from "../src/postgres.js";
import { endLater } from "./parts.js";

export interface BenchPostgres {
  readonly pid: number;
  readonly url: string;
  /** Makes an empty database, replacing one of that name. Its URL. */
  database(name: string): Promise<string>;
  /** Settings that matter for speed, and the version. */
  settings(): Promise<Readonly<Record<string, string>>>;
}

const MAX_CONNECTIONS = 200;

export async function startPostgres(folder: string): Promise<BenchPostgres> {
  const options = { dataDirectory: join(folder, "postgres"), maxConnections: MAX_CONNECTIONS };
  // Taken up at a start only.
  const first = await startEmbeddedPostgres(options);
  try {
    await query(first.connectionString, "alter system set track_commit_timestamp = on");
  } finally {
    await first.stop();
  }
  const postgres = await startEmbeddedPostgres(options);
  endLater(() => postgres.stop());
  const url = postgres.connectionString;
  return {
    pid: postgres.pid,
    url,
    async database(name) {
      await query(url, `drop database if exists "${name}" with (force)`);
      await query(url, `create database "${name}"`);
      return url.replace("@/muster?", `@/${name}?`);
    },
    async settings() {
      const rows = await query<{ name: string; setting: string }>(
        url,
        `select name, setting || coalesce(' ' || unit, '') as setting from pg_settings where name in ('server_version',
          'synchronous_commit', 'fsync', 'full_page_writes', 'wal_sync_method', 'shared_buffers', 'max_wal_size', 'wal_level',
          'max_connections', 'track_commit_timestamp', 'autovacuum', 'jit') order by name`,
      );
      return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
    },
  };
}

export interface Connection {
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  end(): Promise<void>;
}

/** A connection for more than one statement. */
export async function openConnection(url: string): Promise<Connection> {
  const client = new pg.Client({ connectionString: url });
  // The statement that needs a lost connection fails, and that is where it is told.
  client.on("error", () => undefined);
  await client.connect();
  const end = endLater(() => client.end());
  return {
    async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) {
      return (await client.query<Row>(text, [...values])).rows;
    },
    end,
  };
}

/** One statement on a connection of its own. */
export async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const connection = await openConnection(url);
  try {
    return await connection.query<Row>(text, values);
  } finally {
    await connection.end();
  }
}
