/**
 * Databases with a long history: copies of a job that has really run, made by SQL, with all that the store keeps of it.
 * What lists find jobs by differs from copy to copy (see varied.ts). Uids are older than any that a server makes now.
 */

import type { Bench } from "./bench.js";
import { createBody, JOB_SERVICE, USUAL } from "./job.js";
import type { CallsLoad } from "./load/calls.js";
import { startNoop } from "./muster.js";
import { startPart } from "./parts.js";
import { type Connection, openConnection } from "./postgres.js";
import { uuidOf, VARIED_COLUMNS, variedRows } from "./varied.js";

/** By size, since lines may share what nobody writes to. */
const filled = new Map<string, Promise<string>>();

/** The URL of a database with so many ended jobs, `bench-000000000` and on. `purpose` tells who shares it. */
export function filledDatabase(bench: Bench, jobs: number, purpose: string): Promise<string> {
  const name = `filled_${purpose}_${jobs}`;
  const known = filled.get(name);
  if (known) return known;
  const making = fill(bench, name, jobs);
  filled.set(name, making);
  return making;
}

const CHUNK = 20_000;

/** The youngest: fewer than a server keeps (`history-events`), so that it has none to remove while it is measured. */
const KEPT_EVENTS = 4_000_000;

async function fill(bench: Bench, name: string, jobs: number): Promise<string> {
  const begin = performance.now();
  const databaseUrl = await runOneJob(bench, name);
  const client = await openConnection(databaseUrl);
  try {
    await client.query("set synchronous_commit = off");
    const [pattern] = await client.query<{ uid: string }>("select uid from jobs");
    if (!pattern) throw new Error("the job to copy is missing");
    const copies = await copyStatements(client, pattern.uid, jobs);
    for (let from = 0; from < jobs; from += CHUNK) {
      for (const text of copies) await client.query(text, [from, Math.min(from + CHUNK, jobs) - 1]);
    }
    await client.query("select setval('revision', (select max(revision) from events))");
    for (const { table } of await tablesOfJobs(client)) {
      await client.query(`delete from "${table}" where "${table === "jobs" ? "uid" : "job_uid"}" = $1`, [pattern.uid]);
    }
    await client.query("update history set floor = coalesce((select min(revision) - 1 from events), 0)");
    await client.query("vacuum analyze");
  } finally {
    await client.end();
  }
  bench.say(`filled ${name} in ${((performance.now() - begin) / 1000).toFixed(0)} s`);
  return databaseUrl;
}

/** A job of two tasks and two parties, from its creation to its end. */
async function runOneJob(bench: Bench, name: string): Promise<string> {
  const server = await startNoop(bench, name);
  const load = startPart<CallsLoad>("load/calls.ts");
  const body = createBody(USUAL, "pattern");
  await load.ask("open", { protocol: "grpc", url: server.url, path: `${JOB_SERVICE}/CreateJob`, body, inFlight: 1 });
  await load.ask("run", { ids: { from: 0 }, calls: 1 });
  await load.stop();
  const client = await openConnection(server.databaseUrl);
  while ((await client.query("select from jobs where ended_at is null")).length > 0);
  await client.end();
  await server.stop();
  return server.databaseUrl;
}

async function tablesOfJobs(client: Connection): Promise<{ table: string; columns: string[] }[]> {
  return client.query<{ table: string; columns: string[] }>(
    `select c.table_name as table, array_agg(c.column_name::text order by c.ordinal_position) as columns
     from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
     where t.table_schema = 'public' and t.table_type = 'BASE TABLE' and c.is_identity = 'NO' and c.is_generated = 'NEVER'
     group by c.table_name having bool_or(c.column_name = 'job_uid') or c.table_name = 'jobs' order by c.table_name`,
  );
}

/** What jobs are found by: rows that the jobs' own tell. */
const ENTRIES = "job_entries";

/** Rows of the pattern under the ids of the jobs with places from $1 to $2. */
async function copyStatements(client: Connection, patternUid: string, jobs: number): Promise<string[]> {
  const varied = variedRows(jobs, Date.now());
  const statements: string[] = [];
  for (const { table, columns } of await tablesOfJobs(client)) {
    const key = table === "jobs" ? "uid" : "job_uid";
    const [own] = await client.query<{ count: number }>(`select count(*)::int from "${table}" where "${key}" = '${patternUid}'`);
    if (!own || own.count === 0 || table === ENTRIES) continue;
    const values = columns.map((column) => valueOf(table, column, column === key, own.count));
    const order = columns.includes("revision") ? "revision" : "ctid";
    statements.push(
      `insert into "${table}" (${columns.map((column) => `"${column}"`).join(", ")})
       select ${values.join(", ")} from (${varied}) v,
         (select *, row_number() over (order by "${order}") - 1 as place from "${table}" where "${key}" = '${patternUid}') p
       ${table === "events" ? `where v.n >= ${jobs - Math.floor(KEPT_EVENTS / own.count)}` : ""}
       order by v.n, p.place`,
    );
  }
  statements.push(
    `insert into ${ENTRIES} (list, standing, updated_at, duration_rank, job_uid)
     select l.list, j.state || '/' || j.shown, j.updated_at, j.duration_rank, j.uid
     from (${varied}) v join jobs j on j.uid = ${uuidOf("0")} cross join unnest(j.lists) as l(list) order by 1, 2`,
  );
  return statements;
}

function valueOf(table: string, column: string, isJob: boolean, rowsOfJob: number): string {
  if (isJob) return uuidOf("0");
  if (column === "uid") return uuidOf("p.place + 1");
  if (column === "job_id") return "v.job_id";
  if (column === "task_id") return "v.job_id || '-' || p.place";
  // Above the pattern's own, which are gone in the end.
  if (column === "revision") return `1000 + v.n * ${rowsOfJob} + p.place`;
  return (table === "jobs" ? VARIED_COLUMNS[column] : undefined) ?? `p."${column}"`;
}
