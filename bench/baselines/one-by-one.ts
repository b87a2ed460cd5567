/**
 * Making jobs one by one by plain SQL: one transaction per job, without NOTIFY, writing the rows that CreateJob writes, in
 * two forms: as applications write it (begin, an insert per table, commit, each a prepared statement of its own), and as
 * one single statement, which is the raw limit of this Postgres. Both run in pgbench where that is installed, else in Node
 * with pg (one-by-one-pg.ts).
 */

import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Bench } from "../bench.js";
import { startPart } from "../parts.js";
import { query } from "../postgres.js";
import type { OneByOne } from "./one-by-one-pg.js";

const run = promisify(execFile);

/** Tables that CreateJob writes. */
const TABLES = ["jobs", "job_entries", "tasks", "task_inputs", "events"] as const;

/** `:n` is the job's number. In its order, as the uids of the product are in the order of their time. */
const UID = "lpad(to_hex(:n::bigint), 32, '0')::uuid";
const JOB_ID = "'bench-' || to_hex(:n::bigint)";

export interface Transactions {
  readonly usual: readonly string[];
  readonly single: readonly string[];
}

/** Statements that write the rows of the job again under new ids. The job must be alone in its database. */
export async function transactionsLike(databaseUrl: string): Promise<Transactions> {
  const inserts: string[] = [];
  for (const table of TABLES) {
    const columns = await query<{ name: string; type: string }>(
      databaseUrl,
      `select column_name as name, udt_name as type from information_schema.columns
       where table_schema = 'public' and table_name = $1 and is_generated = 'NEVER' order by ordinal_position`,
      [table],
    );
    const names = columns.map((column) => column.name);
    const texts = names.map((name) => `"${name}"::text`).join(", ");
    const rows = await query<Record<string, string | null>>(databaseUrl, `select ${texts} from "${table}"`);
    const values = rows.map((row, i) =>
      columns.map(({ name, type }) => valueOf(name, type, row[name] ?? null, i)).join(", "),
    );
    inserts.push(`insert into "${table}" (${names.map((name) => `"${name}"`).join(", ")}) values (${values.join("), (")})`);
  }
  const parts = inserts.map((insert, i) => `part_${i} as (${insert})`);
  return { usual: ["begin", ...inserts, "commit"], single: [`with ${parts.join(", ")} select 1`] };
}

function valueOf(column: string, type: string, value: string | null, row: number): string {
  if (column === "uid" || column === "job_uid") return UID;
  if (column === "job_id") return JOB_ID;
  if (column === "task_id") return `${JOB_ID} || '-${row}'`;
  if (column === "revision") return "nextval('revision')";
  return value === null ? `null::"${type}"` : `${literal(value)}::"${type}"`;
}

/** Without colons, since pgbench takes those before a word for its own variables, in texts too. */
function literal(text: string): string {
  return `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll(":", "\\x3a")}'`;
}

export interface OneByOneRunner {
  readonly how: string;
  readonly pids: readonly number[];
  /** Jobs a second. Each run takes numbers of its own. */
  run(statements: readonly string[], connections: number, seconds: number): Promise<number>;
  stop(): Promise<void>;
}

export async function oneByOne(bench: Bench, databaseUrl: string): Promise<OneByOneRunner> {
  let runs = 0;
  if (await hasPgbench()) {
    const script = join(bench.folder, "one-by-one.sql");
    const url = new URL(databaseUrl.replace("@/", "@localhost/"));
    const where = ["-h", url.searchParams.get("host") ?? "", "-p", url.searchParams.get("port") ?? "5432", "-U", url.username];
    return {
      how: "pgbench",
      pids: [],
      async run(statements, connections, seconds) {
        runs += 1;
        const number = `\\set i :i + 1\n\\set n ${runs}000000000000 + :client_id * 1000000000 + :i\n`;
        await writeFile(script, `${number}${statements.join(";\n")};\n`);
        const sizes = ["-c", String(connections), "-j", "2", "-T", String(Math.ceil(seconds)), "-D", "i=0"];
        const { stdout } = await run("pgbench", ["-n", "-M", "prepared", "-f", script, ...sizes, ...where, url.pathname.slice(1)]);
        const perSecond = Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1]);
        if (!(perSecond > 0)) throw new Error(`pgbench said:\n${stdout}`);
        return perSecond;
      },
      stop: async () => undefined,
    };
  }
  const part = startPart<OneByOne>("baselines/one-by-one-pg.ts");
  return {
    how: "pg",
    pids: [part.pid],
    run: (statements, connections, seconds) => {
      runs += 1;
      return part.ask("run", { databaseUrl, statements, connections, seconds, from: runs * 1e12 });
    },
    stop: () => part.stop(),
  };
}

async function hasPgbench(): Promise<boolean> {
  try {
    await run("pgbench", ["--version"]);
    return true;
  } catch {
    return false;
  }
}
