/**
 * Databases with a long history: copies of a job that has really run, made by SQL, with all that the store keeps of it.
 * Uids are in the order of the jobs' numbers and older than any that a server makes now.
 */

import type { Bench } from "./bench.js";
import { createBody, JOB_SERVICE, USUAL } from "./job.js";
import type { CallsLoad } from "./load/calls.js";
import { ID_DIGITS } from "./load/messages.js";
import { startNoop } from "./muster.js";
import { startPart } from "./parts.js";
import { type Connection, openConnection } from "./postgres.js";

/** By size, since lines may share what nobody writes to. */
const filled = new Map<string, Promise<string>>();

/** The URL of a database with so many finished jobs, `bench-000000000` and on. `purpose` tells who shares it. */
export function filledDatabase(bench: Bench, jobs: number, purpose: string): Promise<string> {
  const name = `filled_${purpose}_${jobs}`;
  const known = filled.get(name);
  if (known) return known;
  const making = fill(bench, name, jobs);
  filled.set(name, making);
  return making;
}

const CHUNK = 20_000;

async function fill(bench: Bench, name: string, jobs: number): Promise<string> {
  const begin = performance.now();
  const databaseUrl = await runOneJob(bench, name);
  const client = await openConnection(databaseUrl);
  try {
    await client.query("set synchronous_commit = off");
    const [pattern] = await client.query<{ uid: string }>("select uid from jobs");
    if (!pattern) throw new Error("the job to copy is missing");
    const copies = await copyStatements(client, pattern.uid);
    for (let from = 0; from < jobs; from += CHUNK) {
      for (const text of copies) await client.query(text, [from, Math.min(from + CHUNK, jobs) - 1]);
    }
    await client.query("select setval('revision', (select max(revision) from events))");
    for (const { table } of await tablesOfJobs(client)) {
      await client.query(`delete from "${table}" where "${table === "jobs" ? "uid" : "job_uid"}" = $1`, [pattern.uid]);
    }
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

/** Rows of the pattern under the ids of the jobs with numbers from $1 to $2. */
async function copyStatements(client: Connection, patternUid: string): Promise<string[]> {
  const statements: string[] = [];
  for (const { table, columns } of await tablesOfJobs(client)) {
    const key = table === "jobs" ? "uid" : "job_uid";
    const [own] = await client.query<{ count: number }>(`select count(*)::int from "${table}" where "${key}" = '${patternUid}'`);
    if (!own || own.count === 0) continue;
    const values = columns.map((column) => valueOf(column, column === key, own.count));
    const order = columns.includes("revision") ? "revision" : "ctid";
    statements.push(
      `insert into "${table}" (${columns.map((column) => `"${column}"`).join(", ")})
       select ${values.join(", ")} from generate_series($1::bigint, $2::bigint) n,
         (select *, row_number() over (order by "${order}") - 1 as place from "${table}" where "${key}" = '${patternUid}') p
       order by n, place`,
    );
  }
  return statements;
}

const JOB_ID = `'bench-' || lpad(n::text, ${ID_DIGITS}, '0')`;
/** A uuid of version 7 of a year ago, one job a millisecond. */
const uuidOf = (place: string): string =>
  `(lpad(to_hex(1735689600000 + n), 12, '0') || '70008' || lpad(to_hex(${place}), 3, '0') || lpad(to_hex(n), 12, '0'))::uuid`;

function valueOf(column: string, isJob: boolean, rowsOfJob: number): string {
  if (isJob) return uuidOf("0");
  if (column === "uid") return uuidOf("place + 1");
  if (column === "job_id") return JOB_ID;
  if (column === "task_id") return `${JOB_ID} || '-' || place`;
  // Above the pattern's own, which are gone in the end.
  if (column === "revision") return `1000 + n * ${rowsOfJob} + place`;
  return `p."${column}"`;
}
