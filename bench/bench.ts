/** What every line works with: where it runs, how long, and who pays for it. */

import type { BenchPostgres } from "./postgres.js";

export interface Bench {
  /** Fewer and shorter rounds and smaller fills: to see that a line works, not to quote. */
  readonly quick: boolean;
  /** Rounds of each contender before those that count. */
  readonly warmUps: number;
  readonly rounds: number;
  /** Length of a round. */
  readonly seconds: number;
  /** A folder of this run, gone at its end. */
  readonly folder: string;
  readonly postgres: BenchPostgres;
  /** One line of progress. */
  say(text: string): void;
}
