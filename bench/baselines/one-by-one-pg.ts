/** A part: one transaction again and again, on so many connections. */

import pg from "pg";
import { answer } from "../part.js";

interface RunOptions {
  readonly databaseUrl: string;
  /** `:n` stands for the transaction's own number. */
  readonly statements: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  readonly from: number;
}

const methods = {
  /** Transactions a second. */
  async run({ databaseUrl, statements, connections, seconds, from }: RunOptions): Promise<number> {
    const clients = Array.from({ length: connections }, () => new pg.Client({ connectionString: databaseUrl }));
    await Promise.all(clients.map((client) => client.connect()));
    const prepared = statements.map((text, i) => ({
      name: `step ${i}`,
      text: text.replaceAll(":n::", "$1::"),
      numbered: text.includes(":n::"),
    }));
    let begun = 0;
    let done = 0;
    const begin = performance.now();
    const repeat = async (client: pg.Client): Promise<void> => {
      for (; performance.now() - begin < seconds * 1000; done += 1) {
        begun += 1;
        const n = from + begun;
        for (const { name, text, numbered } of prepared) await client.query({ name, text, values: numbered ? [n] : [] });
      }
    };
    await Promise.all(clients.map(repeat));
    const perSecond = done / ((performance.now() - begin) / 1000);
    await Promise.all(clients.map((client) => client.end()));
    return perSecond;
  },
};

export type OneByOne = typeof methods;
answer(methods);
