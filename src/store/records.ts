/**
 * Natural batching of reads: questions that come while a statement is under way are asked together by the next. Alone, a
 * question waits for nobody; under load one statement answers many. Each is answered as of a moment after it was asked.
 */

import type { JobRecord } from "../core/job.js";
import type { Pool } from "./pool.js";
import { recordsByJobId } from "./views.js";

/** Statements that are under way at once. */
const LANES = 2;
const MOST_AT_ONCE = 32;

interface Question {
  readonly jobId: string;
  readonly resolve: (record: JobRecord | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class Records {
  readonly #pool: Pool;
  #waiting: Question[] = [];
  #underWay = 0;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** The present job of this name; undefined where there is none. */
  byJobId(jobId: string): Promise<JobRecord | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ jobId, resolve, reject });
      // Those that came with the same network read are asked together.
      if (this.#underWay < LANES && this.#waiting.length === 1) setImmediate(() => this.#next());
    });
  }

  #next(): void {
    if (this.#underWay >= LANES || this.#waiting.length === 0) return;
    const asked = this.#waiting.splice(0, MOST_AT_ONCE);
    this.#underWay += 1;
    void this.#ask(asked).finally(() => {
      this.#underWay -= 1;
      this.#next();
    });
    this.#next();
  }

  async #ask(asked: readonly Question[]): Promise<void> {
    try {
      const records = await recordsByJobId(this.#pool, [...new Set(asked.map(({ jobId }) => jobId))]);
      const byId = new Map(records.map((record) => [record.job.jobId, record]));
      for (const { jobId, resolve } of asked) resolve(byId.get(jobId));
    } catch (error) {
      // Together they may be too large for one answer, so each is asked by itself before it fails.
      if (asked.length > 1) await Promise.all(asked.map((question) => this.#ask([question])));
      else for (const { reject } of asked) reject(error);
    }
  }
}
