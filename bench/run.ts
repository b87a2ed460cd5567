/** `npm run bench`: runs the lines, prints the table, writes the results. README.md tells how to read them. */

import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Bench } from "./bench.js";
import type { Line } from "./line.js";
import { LINES } from "./lines.js";
import { describeMachine, gitCommit, packageVersions } from "./machine.js";
import { endAll, endLater, runningNow } from "./parts.js";
import { startPostgres } from "./postgres.js";
import { type LineResult, printTable, writeResults } from "./report.js";

const { values: flags } = parseArgs({
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    data: { type: "string", default: tmpdir() },
  },
});

const RESULTS = "bench/results";
let interrupted = false;

if (flags.list) for (const line of LINES) console.log(`${line.name.padEnd(16)} ${line.about}`);
else await run(chosen(flags.only));

function chosen(only: string | undefined): readonly Line[] {
  if (only === undefined) return LINES;
  return only.split(",").map((name) => {
    const line = LINES.find((each) => each.name === name);
    if (!line) throw new Error(`no line "${name}"; there are: ${LINES.map((each) => each.name).join(", ")}`);
    return line;
  });
}

async function run(lines: readonly Line[]): Promise<void> {
  const at = new Date();
  // A second Ctrl-C ends at once; then what was started ends by itself, except Postgres.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      interrupted = true;
      void endAll().finally(() => process.exit(130));
    });
  }
  const folder = await mkdtemp(join(flags.data, "muster-bench-"));
  // Postgres may run as another user, who has to come through.
  await chmod(folder, 0o711);
  endLater(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const results: LineResult[] = [];
  try {
    const machine = describeMachine(folder);
    const postgres = await startPostgres(folder);
    const bench: Bench = {
      quick: flags.quick,
      warmUps: flags.quick ? 1 : 2,
      rounds: flags.quick ? 2 : 7,
      seconds: flags.quick ? 1.5 : 4,
      folder,
      postgres,
      say: (text) => console.error(`  ${text}`),
    };
    const settings = await postgres.settings();
    for (const line of lines) results.push(await runLine(line, bench));
    const { warmUps, rounds, seconds, quick } = bench;
    const about = { commit: gitCommit(), quick, warmUps, rounds, seconds, machine, packages: packageVersions(), postgres: settings };
    if (quick) console.log("\nQuick: too few and too short rounds to quote.");
    console.log();
    printTable(results);
    console.log(`\n${await writeResults(RESULTS, at, about, results)}`);
  } finally {
    await endAll();
  }
  if (results.some((result) => result.broken !== undefined)) process.exitCode = 1;
}

async function runLine(line: Line, bench: Bench): Promise<LineResult> {
  console.error(`${line.name}: ${line.about}`);
  const begin = performance.now();
  const before = runningNow();
  const seconds = (): number => Math.round((performance.now() - begin) / 1000);
  try {
    const rows = await line.run(bench);
    return { line: line.name, seconds: seconds(), rows };
  } catch (error) {
    // The line broke because its processes are being ended; whoever ends them ends this one too.
    if (interrupted) return await new Promise<never>(() => undefined);
    console.error(error);
    return { line: line.name, seconds: seconds(), rows: [], broken: error instanceof Error ? error.message : String(error) };
  } finally {
    // What a broken line has left.
    await endAll(before);
  }
}
