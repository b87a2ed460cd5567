/** The history: reading on from a revision, and pruning what is too old. */

import type { JobEvent } from "../core/job.js";
import { type Pool, read } from "./pool.js";

export interface StoredEvent {
  readonly revision: bigint;
  readonly jobUid: string;
  readonly jobId: string;
  readonly event: JobEvent;
}

interface Row {
  readonly revision: string;
  readonly job_uid: string;
  readonly job_id: string;
  readonly kind: JobEvent["kind"];
  readonly time: Date;
  readonly detail: Omit<JobEvent, "kind" | "time">;
}

function eventFromRow(row: Row): StoredEvent {
  return {
    revision: BigInt(row.revision),
    jobUid: row.job_uid,
    jobId: row.job_id,
    event: { kind: row.kind, time: row.time.getTime(), ...row.detail },
  };
}

/** Events after `revision` in order, at most `limit`. */
export async function eventsAfter(pool: Pool, revision: bigint, limit: number): Promise<StoredEvent[]> {
  const text = "select * from events where revision > $1 order by revision limit $2";
  return (await read<Row>(pool, text, [revision.toString(), limit])).map(eventFromRow);
}

export async function eventsOfJob(pool: Pool, jobUid: string, after: bigint, limit: number): Promise<StoredEvent[]> {
  const text = "select * from events where job_uid = $1 and revision > $2 order by revision limit $3";
  return (await read<Row>(pool, text, [jobUid, after.toString(), limit])).map(eventFromRow);
}

/** The newest revision that is visible. */
export async function newestRevision(pool: Pool): Promise<bigint> {
  const rows = await read<{ revision: string }>(
    pool,
    "select greatest((select coalesce(max(revision), 0) from events), (select floor from history))::text as revision",
    [],
  );
  return BigInt(rows[0]?.revision ?? 0);
}

/** Removes events (and last states of deleted jobs, and remembered request ids) older than `maxAgeMs`, at most `limit` at a time, and remembers how far. Returns how many went. */
export async function pruneEvents(pool: Pool, maxAgeMs: number, limit: number): Promise<number> {
  const text = `
    with old as (
      select revision from events where time < now() - $1 * interval '1 millisecond' order by revision limit $2
    ), gone as (
      -- A prefix of the history, so that what is left has no gap.
      delete from events where revision <= (select max(revision) from old)
        and time < now() - $1 * interval '1 millisecond' returning revision
    ), forgotten as (
      delete from tombstones where deleted_at < now() - $1 * interval '1 millisecond'
    ), answered as (
      delete from requests where made_at < now() - $1 * interval '1 millisecond'
    ), moved as (
      update history set floor = greatest(floor, (select max(revision) from gone)) where exists (select from gone)
    )
    select count(*)::int as count from gone`;
  const rows = await read<{ count: number }>(pool, text, [maxAgeMs, limit]);
  return rows[0]?.count ?? 0;
}
