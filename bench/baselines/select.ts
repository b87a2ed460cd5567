/** A part: the statement that QueryJob makes, by pg alone: what a server in between can at best come near to. */

import pg from "pg";
import type * as Views from "../../src/store/views.js";
import { fromDist } from "../dist.js";
import { ID_DIGITS } from "../load/messages.js";
import { answer } from "../part.js";

interface RunOptions {
  readonly seconds: number;
  readonly inFlight: number;
  /** Jobs that are stored, of which any is asked for. */
  readonly below: number;
}

let pool: pg.Pool | undefined;

const methods = {
  async open({ databaseUrl, connections }: { databaseUrl: string; connections: number }): Promise<void> {
    pool = new pg.Pool({ connectionString: databaseUrl, max: connections });
    await pool.query("select 1");
  },
  /** Statements a second. */
  async run({ seconds, inFlight, below }: RunOptions): Promise<number> {
    const statement = await statementOf((query) => views.recordsByJobId(query, ["bench-0"]));
    const begin = performance.now();
    let done = 0;
    const lane = async (): Promise<void> => {
      for (; performance.now() - begin < seconds * 1000; done += 1) {
        const jobId = `bench-${String(Math.floor(Math.random() * below)).padStart(ID_DIGITS, "0")}`;
        const result = await pool?.query({ ...statement, values: [[jobId]] });
        if (result?.rowCount !== 1) throw new Error("the statement gave no answer");
      }
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
    return done / ((performance.now() - begin) / 1000);
  },
};

const views = await fromDist<typeof Views>("store/views.js");

/** What the product's own code would send: it is given a pool that only listens. */
async function statementOf(ask: (pool: pg.Pool) => Promise<unknown>): Promise<pg.QueryConfig> {
  let heard: pg.QueryConfig | undefined;
  const listening = {
    query(given: string | pg.QueryConfig) {
      heard ??= typeof given === "string" ? { text: given } : given;
      return Promise.resolve({ rows: [] });
    },
  };
  // Nothing but `query` is asked of a pool by a read.
  await ask(listening as unknown as pg.Pool);
  if (!heard) throw new Error("nothing was asked");
  return heard;
}

export type Select = typeof methods;
answer(methods);
