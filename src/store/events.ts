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

/** SQL of the newest revision that is visible. */
export const NEWEST_REVISION =
  "greatest((select coalesce(max(revision), 0) from events), (select floor from history))::text";

/** The newest revision that is visible. */
export async function newestRevision(pool: Pool): Promise<bigint> {
  const rows = await read<{ revision: string }>(
    pool,
    `select ${NEWEST_REVISION} as revision`,
    [],
  );
  return BigInt(rows[0]?.revision ?? 0);
}

/** How much history is kept: what passes either bound goes. */
export interface HistoryBounds {
  readonly maxAgeMs: number;
  readonly maxEvents: number;
}

/**
 * Removes the oldest events beyond the bounds, at most `limit` at a time, and remembers how far; with them the last states
 * of deleted jobs and the remembered request ids that are too old. Returns how many events went.
 */
export async function pruneEvents(pool: Pool, { maxAgeMs, maxEvents }: HistoryBounds, limit: number): Promise<number> {
  const text = `
    with oldest as (
      select revision, time from events order by revision limit $2
    ), old as (
      -- A prefix of the history, so that what is left has no gap.
      select max(revision) as revision from oldest
      where (time < now() - $1 * interval '1 millisecond'
          and revision < coalesce((select min(revision) from oldest where time >= now() - $1 * interval '1 millisecond'),
            9223372036854775807))
        or revision <= (select max(revision) from events) - $3
    ), gone as (
      delete from events where revision <= (select revision from old) returning revision
    ), forgotten as (
      -- Not before the last of its events, whose time is another clock's.
      delete from tombstones t where deleted_at < now() - $1 * interval '1 millisecond'
        and not exists (select from events e where e.job_uid = t.job_uid)
    ), answered as (
      delete from requests where made_at < now() - $1 * interval '1 millisecond'
    ), moved as (
      update history set floor = greatest(floor, (select max(revision) from gone)) where exists (select from gone)
    )
    select count(*)::int as count from gone`;
  const rows = await read<{ count: number }>(pool, text, [maxAgeMs, limit, maxEvents]);
  return rows[0]?.count ?? 0;
}
