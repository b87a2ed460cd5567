/** Fresh databases for tests, on the Postgres that global-setup.ts starts. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the test run's Postgres is: the URL of the database `muster`, as a superuser. */
    postgresUrl: string;
  }
}

/** A database of its own for one test file. */
export interface TestDatabase {
  readonly url: string;
  /** Ends the sessions that are still open in it, and removes it. */
  drop(): Promise<void>;
}

/**
 * Makes an empty database, or a copy of the database named `template`, which must have no open session then.
 * What is left undropped goes with the test run.
 */
export async function createTestDatabase(options: { readonly template?: string } = {}): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  // A file copy is the faster way for a template of some size; it costs a checkpoint, which is cheap without fsync.
  const source = options.template === undefined ? "" : ` TEMPLATE "${options.template}" STRATEGY file_copy`;
  await execute(`CREATE DATABASE ${name}${source}`);
  return {
    url: urlOf(name),
    drop: () => execute(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/** The URL of a database of the test run by its name. */
export function urlOf(database: string): string {
  return inject("postgresUrl").replace("@/muster?", `@/${database}?`);
}

async function execute(statement: string): Promise<void> {
  const client = new pg.Client(inject("postgresUrl"));
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
