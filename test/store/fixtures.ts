/** A migrated database with a writer on it, and small jobs to write. */

import type pg from "pg";
import type { AppImage } from "../../src/core/image.js";
import type { JobDefinition } from "../../src/core/job.js";
import { createImages } from "../../src/images.js";
import { createJobs, type Jobs } from "../../src/jobs.js";
import { DEFAULT_LIMITS } from "../../src/core/dag.js";
import { Writer } from "../../src/store/batch.js";
import { migrate } from "../../src/store/migrate.js";
import type { Commit } from "../../src/store/changes.js";
import { createPool, type Pool } from "../../src/store/pool.js";
import { definitionOf, taskOf } from "../core/fixtures.js";
import { createTestDatabase } from "../database.js";

export interface TestStore {
  readonly url: string;
  readonly pool: Pool;
  readonly writer: Writer;
  readonly jobs: Jobs;
  /** Another server process's writer on the same database. */
  secondWriter(): Writer;
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** Told what `writer` commits. */
  onCommit: (commit: Commit) => void;
  close(): Promise<void>;
}

export const IMAGE: AppImage = {
  name: "image",
  image: { name: "image", tag: "1", id: "", sign: "" },
  configTemplates: {},
  deployTemplates: [
    {
      name: "main",
      role: "",
      replicas: 1,
      restartPolicy: "Never",
      containers: [
        { name: "app", command: ["true"], args: [], workingDir: "", configVolumeMounts: [], ports: [], env: [], extra: {} },
      ],
    },
  ],
  directory: "",
};

export async function openTestStore(options: { manualDomains?: readonly string[] } = {}): Promise<TestStore> {
  const database = await createTestDatabase();
  await migrate(database.url);
  const pool = createPool({ connectionString: database.url, size: 4, onError: () => undefined });
  const writers: Writer[] = [];
  const makeWriter = (onCommit?: (commit: Commit) => void): Writer => {
    const writer = new Writer({ pool, now: Date.now, ...(onCommit && { onCommit }) });
    writers.push(writer);
    return writer;
  };
  const writer = makeWriter((commit) => store.onCommit(commit));
  const manualDomains = new Set(options.manualDomains ?? []);
  const jobs = createJobs({ pool, writer, limits: DEFAULT_LIMITS, domains: null, manualDomains });
  await createImages({ pool, commands: "any" }).put(IMAGE);
  const store: TestStore = {
    url: database.url,
    pool,
    writer,
    jobs,
    secondWriter: () => makeWriter(),
    onCommit: () => undefined,
    query: async (text, values = []) => (await pool.query(text, values)).rows,
    close: async () => {
      for (const each of writers) await each.close();
      await pool.end();
      await database.drop();
    },
  };
  return store;
}

/** A job whose task_ids are its own, so that many can be there at once. */
export function jobNamed(jobId: string, more: Partial<JobDefinition> = {}): JobDefinition {
  const tasks = [taskOf("a", { taskId: "" }), taskOf("b", { taskId: "", dependencies: ["a"] })];
  return definitionOf(tasks, { jobId, ...more });
}

export interface Listening {
  readonly pool: Pool;
  /** The names of the statements that went through the pool. */
  readonly statements: string[];
}

export function listenTo(pool: Pool): Listening {
  const statements: string[] = [];
  const listening = Object.assign(Object.create(pool) as Pool, {
    query: (statement: { name: string; text: string; values: unknown[] }) => {
      statements.push(statement.name);
      return pool.query(statement);
    },
  });
  return { pool: listening, statements };
}
