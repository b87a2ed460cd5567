/** Jobs that were there before lists were: the migration must write of them what the store writes of new ones. */

import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { durationRank, shownStatus } from "../../src/core/list.js";
import { attemptStarted, claim } from "../../src/core/moves/tasks.js";
import { migrate, readMigrations } from "../../src/store/migrate.js";
import { jobFromRow, type JobRow } from "../../src/store/rows.js";
import { MASTER } from "../core/fixtures.js";
import { createTestDatabase, type TestDatabase } from "../database.js";
import { jobNamed, openTestStore, type TestStore } from "./fixtures.js";

let store: TestStore;
let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  store = await openTestStore({ manualDomains: ["bob"] });
  database = await createTestDatabase();
  client = new pg.Client(database.url);
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
  await store.close();
});

async function runFirstTask(jobId: string): Promise<void> {
  const { job } = await store.jobs.query(jobId, MASTER);
  const instances = ["alice", "bob"].map((domain) => ({ attemptUid: crypto.randomUUID(), domain, role: "", replica: 0, endpoints: [] }));
  const target = { uid: job.uid };
  await store.writer.change({ target, touch: 0, move: (d, now) => claim(d, { taskIndex: 0, number: 1, runner: "r", instances, now }) });
  const [first] = instances;
  if (first) await store.writer.change({ target, touch: 0, move: (d, now) => attemptStarted(d, { attemptUid: first.attemptUid, now }) });
}

test("jobs of before are listed as those of now", async () => {
  const { jobs } = store;
  const kinds = ["waiting", "ready", "running", "suspended", "stopping", "stopped", "cancelled", "rejected", "going"] as const;
  for (const kind of kinds) {
    await jobs.submit({ definition: jobNamed(kind, { customFields: { Env: "Prod", flow_id: kind } }), surface: "test" }, MASTER);
    if (kind === "waiting") continue;
    await jobs.approve(kind, { decision: kind === "rejected" ? "JobRejected" : "JobAccepted", reason: "" }, MASTER);
    if (["running", "stopping", "going"].includes(kind)) await runFirstTask(kind);
  }
  await jobs.command("Suspend", "suspended", MASTER, "");
  await jobs.command("Suspend", "stopping", MASTER, "");
  await jobs.command("Stop", "stopped", MASTER, "");
  await jobs.command("Cancel", "cancelled", MASTER, "");
  await jobs.command("Delete", "going", MASTER, "");

  await client.query("create table schema_migrations (version int primary key, name text not null, applied_at timestamptz not null default now())");
  for (const { version, name, sql } of (await readMigrations()).filter((migration) => migration.version < 3)) {
    await client.query(sql);
    await client.query("insert into schema_migrations (version, name) values ($1, $2)", [version, name]);
  }
  for (const table of ["jobs", "attempts"]) {
    for (const { row } of await store.query<{ row: object }>(`select to_jsonb(t) as row from ${table} t`)) {
      await client.query(`insert into ${table} select * from jsonb_populate_record(null::${table}, $1)`, [JSON.stringify(row)]);
    }
  }
  expect(await migrate(database.url)).toContain("0003_lists.sql");

  const { rows } = await client.query<{ row: JobRow }>("select to_jsonb(j) as row from jobs j");
  expect(rows).toHaveLength(kinds.length);
  for (const { row } of rows) {
    const job = jobFromRow(row);
    expect([job.jobId, row.shown, row.duration_rank]).toEqual([job.jobId, shownStatus(job), durationRank(job)]);
  }
  const entries = "select list, standing, updated_at, duration_rank, job_uid from job_entries order by job_uid, list";
  expect((await client.query(entries)).rows).toEqual(await store.query(entries));
});
