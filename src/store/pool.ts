/** The connection pool, and which database errors are expected. */

import pg from "pg";
import { JobError } from "../core/error.js";

export type Pool = pg.Pool;

export interface PoolOptions {
  readonly connectionString: string;
  /** Connections of this process; small, so that many servers fit one database. */
  readonly size: number;
  readonly onError: (error: Error) => void;
}

export function createPool(options: PoolOptions): Pool {
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.size,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    application_name: "muster",
    statement_timeout: 30_000,
    idle_in_transaction_session_timeout: 30_000,
    query_timeout: 40_000,
  });
  // An idle connection that dies is replaced by the pool; the event must only not go unheard. While the pool ends, its last
  // connections may be closed by a Postgres that ends too, which is nothing to report.
  pool.on("error", (error) => {
    if (!pool.ending) options.onError(error);
  });
  return pool;
}

/** SQLSTATE classes after which the same statement may succeed: connection, shutdown, timeout, resources, serialisation. */
const TRANSIENT_STATES = /^(08|57|53|40|25006)/;
const TRANSIENT_SYSTEM = new Set(["ECONNREFUSED", "ECONNRESET", "ENOENT", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"]);

function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

/** Whether the database could not be reached or could not go on, so that the outcome may be unknown. */
export function isTransient(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== "") return TRANSIENT_STATES.test(code) || TRANSIENT_SYSTEM.has(code);
  // The driver's own errors about a connection carry no code.
  return error instanceof Error && /connection|timeout|Client has encountered/i.test(error.message);
}

/** Constraint that a row has broken, for SQLSTATE class 23. */
export function brokenConstraint(error: unknown): string | undefined {
  if (!codeOf(error).startsWith("23")) return undefined;
  return typeof error === "object" && error !== null && "constraint" in error ? String(error.constraint) : "";
}

/** Any error of the store as a caller may see it; the original is kept as the cause. */
export function storeError(error: unknown): JobError {
  if (error instanceof JobError) return error;
  return isTransient(error)
    ? new JobError("Unavailable", "the database cannot be reached now", { cause: error })
    : new JobError("Internal", "internal error", { cause: error });
}

/** Runs one read and translates its errors. A read that hits a dying connection is tried once more. */
export async function read<Row extends pg.QueryResultRow>(
  pool: Pool,
  text: string,
  values: readonly unknown[],
): Promise<Row[]> {
  try {
    return (await pool.query<Row>(text, [...values])).rows;
  } catch (error) {
    if (!isTransient(error)) throw storeError(error);
  }
  try {
    return (await pool.query<Row>(text, [...values])).rows;
  } catch (error) {
    throw storeError(error);
  }
}
