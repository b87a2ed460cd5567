/**
 * Makes the demo's two tables from a public one: the airports of the United States that the npm package vega-datasets
 * ships (from the Bureau of Transportation Statistics). Alice gets their names and cities under the key id1, bob their
 * states and positions under the key id2; both keys are the airport's IATA code. Three airports in five go to both.
 *
 *   node prepare.mjs <alice's folder> <bob's folder>
 */

import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { readCsvFile, writeCsvFile } from "./csv.mjs";

/** @import { Row, Table } from "./csv.mjs" */

const PACKAGE_ENTRY = createRequire(import.meta.url).resolve("vega-datasets");
const AIRPORTS = path.join(path.dirname(PACKAGE_ENTRY), "../data/airports.csv");

/**
 * Writes `alice-table.csv` and `bob-table.csv`. The same on every machine; the two tables are in different orders.
 * @param {string} aliceDir made if absent
 * @param {string} bobDir made if absent
 * @returns {Promise<{ aliceRows: number, bobRows: number, sharedKeys: number }>}
 */
export async function prepareData(aliceDir, bobDir) {
  const airports = await readCsvFile(AIRPORTS);
  const numbered = airports.rows.map((row) => ({ row, number: numberOf(row[0] ?? "") }));
  const forAlice = numbered.filter(({ number }) => number % 5 !== 0);
  const forBob = numbered.filter(({ number }) => number % 5 !== 1).sort((a, b) => a.number - b.number);
  await writeColumns(aliceDir, "alice-table.csv", airports, forAlice, ["iata", "name", "city"], "id1");
  await writeColumns(bobDir, "bob-table.csv", airports, forBob, ["iata", "state", "latitude", "longitude"], "id2");
  const sharedKeys = forAlice.filter(({ number }) => number % 5 !== 1).length;
  return { aliceRows: forAlice.length, bobRows: forBob.length, sharedKeys };
}

/**
 * A number that looks random but hangs on the text alone.
 * @param {string} text
 */
function numberOf(text) {
  return createHash("sha256").update(text, "latin1").digest().readUInt32BE(0);
}

/**
 * @param {string} dir
 * @param {string} file
 * @param {Table} airports
 * @param {readonly { row: Row }[]} rows
 * @param {readonly string[]} columns the first is the key
 * @param {string} keyName
 */
async function writeColumns(dir, file, { header }, rows, columns, keyName) {
  const indices = columns.map((column) => header.indexOf(column));
  await mkdir(dir, { recursive: true });
  const picked = rows.map(({ row }) => indices.map((index) => row[index] ?? ""));
  await writeCsvFile(path.join(dir, file), [keyName, ...columns.slice(1)], picked);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [aliceDir = "alice", bobDir = "bob"] = process.argv.slice(2);
  process.stdout.write(`${JSON.stringify(await prepareData(aliceDir, bobDir))}\n`);
}
