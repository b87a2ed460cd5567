/**
 * A part: pg-boss. Its own `work` sleeps at least half a second between two fetches, so here loops fetch one job,
 * complete it and fetch the next, which is the fastest way to work through a queue with it unbatched.
 */

import { setTimeout as delay } from "node:timers/promises";
import PgBoss from "pg-boss";
import { jobRequest, USUAL } from "../job.js";
import { answer } from "../part.js";
import { addUntil, Progress, type QueueMethods, type QueueOptions } from "./queue.js";

const QUEUE = "noop";
const payload = jobRequest(USUAL);
const progress = new Progress();
/** Between two looks into an empty queue. */
const IDLE_MS = 20;

let boss: PgBoss | undefined;

const methods = {
  async open({ databaseUrl, pool }: QueueOptions): Promise<void> {
    boss = new PgBoss({ connectionString: databaseUrl, max: pool, supervise: false, schedule: false });
    await boss.start();
    await boss.createQueue(QUEUE);
  },
  add: (how) => addUntil(how, async () => boss?.send(QUEUE, payload)),
  async work(concurrency) {
    for (let i = 0; i < concurrency; i += 1) void work();
  },
  done: (jobs) => progress.until(jobs),
  waits: () => progress.takeWaits(),
} satisfies QueueMethods;

async function work(): Promise<never> {
  for (;;) {
    const jobs = (await boss?.fetch(QUEUE, { includeMetadata: true, batchSize: 1 })) ?? [];
    for (const job of jobs) {
      progress.started(job.createdOn);
      await boss?.complete(QUEUE, job.id);
      progress.completed();
    }
    if (jobs.length === 0) await delay(IDLE_MS);
  }
}

answer(methods);
