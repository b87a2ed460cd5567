/**
 * A part: raw LISTEN/NOTIFY. One row is written and notified of in one transaction, at a steady pace; another connection
 * listens. Two processes of this part, one that writes and one that listens, are the least that a watch can be made of.
 */

import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { answer } from "../part.js";

let client: pg.Client | undefined;
const heard = new Map<number, number>();

const methods = {
  async open(databaseUrl: string): Promise<void> {
    client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query("create table if not exists raw_events (id bigint generated always as identity primary key, detail text)");
  },
  async listen(): Promise<void> {
    client?.on("notification", ({ payload }) => heard.set(Number(payload), performance.timeOrigin + performance.now()));
    await client?.query("listen raw");
  },
  async write({ perSecond, seconds }: { perSecond: number; seconds: number }): Promise<number> {
    const text = "with made as (insert into raw_events (detail) values ($1) returning id) select pg_notify('raw', id::text) from made";
    const begin = performance.now();
    let written = 0;
    for (; performance.now() - begin < seconds * 1000; written += 1) {
      await client?.query({ name: "write", text, values: ["x".repeat(200)] });
      const due = begin + ((written + 1) / perSecond) * 1000;
      const early = due - performance.now();
      if (early > 0) await delay(early);
    }
    return written;
  },
  /** Milliseconds from the commit to the callback, of all events since the last time it was asked. */
  async waits(): Promise<number[]> {
    const text = "select id::int, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 * 1000 as at from raw_events";
    const rows = (await client?.query<{ id: number; at: number }>(text))?.rows ?? [];
    const waits = rows.flatMap(({ id, at }) => {
      const heardAt = heard.get(id);
      return heardAt === undefined ? [] : [heardAt - at];
    });
    heard.clear();
    return waits;
  },
};

export type Listening = typeof methods;
answer(methods);
