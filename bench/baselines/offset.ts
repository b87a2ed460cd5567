/** A part: pages as applications often read them, by OFFSET, with a count(*) of all matches beside each, by pg. */

import pg from "pg";
import { answer } from "../part.js";

export interface OffsetQuestion {
  /** Of a row of `jobs`. */
  readonly where: string;
  readonly orderBy: string;
  /** How much of the matches lies before the page. */
  readonly depth: number;
}

const PAGE = 50;

let client: pg.Client | undefined;
let questions: readonly { readonly page: string; readonly count: string }[] = [];
let asked = 0;

const methods = {
  async open({ databaseUrl, ask }: { databaseUrl: string; ask: readonly OffsetQuestion[] }): Promise<void> {
    client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    const texts: { page: string; count: string }[] = [];
    for (const { where, orderBy, depth } of ask) {
      const count = `select count(*)::int as count from jobs where ${where}`;
      const matches = (await client.query<{ count: number }>(count)).rows[0]?.count ?? 0;
      const offset = Math.floor(matches * depth);
      texts.push({ page: `select * from jobs where ${where} order by ${orderBy} limit ${PAGE} offset ${offset}`, count });
    }
    questions = texts;
  },
  /** Milliseconds of each page with its count. At least every question once. */
  async run({ seconds }: { seconds: number }): Promise<number[]> {
    const times: number[] = [];
    const begin = performance.now();
    for (; performance.now() - begin < seconds * 1000 || times.length < questions.length; asked += 1) {
      const question = questions[asked % questions.length];
      if (!client || !question) throw new Error("nothing is open");
      const sent = performance.now();
      const { rowCount } = await client.query(question.page);
      await client.query(question.count);
      if (rowCount !== PAGE) throw new Error(`${question.page}: a page of ${rowCount} jobs`);
      times.push(performance.now() - sent);
    }
    return times;
  },
};

export type OffsetPages = typeof methods;
answer(methods);
