/** The table on the terminal and the file of a run. */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Bar, isMet, ratioOf, type Row } from "./line.js";

export interface LineResult {
  readonly line: string;
  readonly seconds: number;
  readonly rows: readonly Row[];
  /** Why the line gave no rows. */
  readonly broken?: string;
}

const HEAD = ["line", "what", "ours", "baseline", "ratio", "bar", ""];

export function printTable(results: readonly LineResult[]): void {
  const body = results.flatMap(({ line, rows, broken }) => [
    ...(broken === undefined ? [] : [[line, broken.split("\n")[0] ?? "", "", "", "", "", "BROKEN"]]),
    ...rows.map((row) => [line, row.what, ...numbersOf(row)]),
  ]);
  const widths = HEAD.map((title, i) => Math.max(title.length, ...body.map((cells) => cells[i]?.length ?? 0)));
  for (const cells of [HEAD, widths.map((width) => "-".repeat(width)), ...body]) {
    console.log(cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd());
  }
  const notes = results.flatMap(({ rows }) => rows.filter((row) => row.note !== undefined));
  if (notes.length > 0) console.log();
  for (const { what, note } of notes) console.log(`${what}: ${note}`);
}

function numbersOf(row: Row): string[] {
  const ratio = ratioOf(row);
  const met = isMet(row);
  return [
    withUnit(row.ours, row.unit),
    row.baseline ? `${withUnit(row.baseline.value, row.unit)} (${row.baseline.name})` : "",
    ratio === undefined ? "" : `${ratio.toFixed(2)}x`,
    (row.bars ?? []).map((bar) => barText(bar, row.unit)).join(", "),
    met === undefined ? "" : met ? "met" : "NOT met",
  ];
}

function barText(bar: Bar, unit: string): string {
  return `${bar.is === "at least" ? ">=" : "<="} ${bar.of === "ratio" ? `${bar.value}x` : `${bar.value} ${unit}`}`;
}

function withUnit(value: number, unit: string): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${unit}`;
}

/** Writes `<folder>/<date>.json` and gives its path. The date is to the second, so that runs of a day stand side by side. */
export async function writeResults(
  folder: string,
  at: Date,
  about: Readonly<Record<string, unknown>>,
  results: readonly LineResult[],
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${at.toISOString().slice(0, 19).replaceAll(":", "-")}.json`);
  const lines = results.map((result) => ({
    ...result,
    rows: result.rows.map((row) => ({ ...row, ratio: ratioOf(row) ?? null, met: isMet(row) ?? null })),
  }));
  await writeFile(path, `${JSON.stringify({ at: at.toISOString(), ...about, lines }, null, 2)}\n`);
  return path;
}
