/**
 * What a line of the table is. A line measures one thing of ours, mostly beside a baseline, and gives one row for each
 * comparison that has a bar, or that is worth knowing without one.
 */

import type { Bench } from "./bench.js";

export interface Line {
  /** For `--only`. */
  readonly name: string;
  /** One sentence for `--list`. */
  readonly about: string;
  run(bench: Bench): Promise<Row[]>;
}

/** What a row is judged by: a number of ours, or ours divided by the baseline. */
export interface Bar {
  readonly of: "ours" | "ratio";
  readonly is: "at least" | "at most";
  readonly value: number;
}

export interface Row {
  /** What is measured, e.g. `CreateJob, 64 in flight`. */
  readonly what: string;
  /** Of ours and of the baseline, e.g. `calls/s`. */
  readonly unit: string;
  readonly ours: number;
  readonly baseline?: { readonly name: string; readonly value: number };
  /** More than one where all must hold; none where the row is for information. */
  readonly bars?: readonly Bar[];
  /** How it was measured, in a few words, and what a reader must know. */
  readonly note?: string;
  /** Everything else that was measured: rounds, CPU, percentiles. Goes to the results file. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export function ratioOf(row: Row): number | undefined {
  return row.baseline && row.ours / row.baseline.value;
}

/** Undefined where there is no bar. */
export function isMet(row: Row): boolean | undefined {
  return row.bars?.every((bar) => {
    const value = bar.of === "ours" ? row.ours : (ratioOf(row) ?? Number.NaN);
    return bar.is === "at least" ? value >= bar.value : value <= bar.value;
  });
}
