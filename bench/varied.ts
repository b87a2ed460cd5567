/**
 * How stored jobs differ from each other, as SQL: when they were made and changed, how they ended, who made them, what they
 * are called and their custom fields, so that a list has something to choose from. Each of these goes by the job's place
 * in the history, by numbers without a common divisor, so that none of them goes with another.
 */

import { ID_DIGITS } from "./load/messages.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** From the oldest job to the youngest, whatever their number: more than a year, which is the widest window of Kylin's. */
export const SPAN_MS = 400 * DAY_MS;
/** The youngest was made a day ago, and what happens to a job takes less. */
const AGE_MS = DAY_MS;

/** Custom fields of stored jobs: how many values there are. */
export const VALUES = { project: 13, flow: 23, schedule: 3 } as const;

/** When the job with a place was made. */
export function createdAt(jobs: number, filledAt: number, place: number): number {
  return filledAt - AGE_MS - (jobs - 1 - place) * stepOf(jobs);
}

function stepOf(jobs: number): number {
  return Math.floor(SPAN_MS / jobs);
}

/** Rows `v`, one for each job with a place from $1 to $2. Names are the numbers below `jobs`, each once, in no order of time. */
export function variedRows(jobs: number, filledAt: number): string {
  return `
    select n, 'bench-' || lpad(((n * 7919) % ${jobs})::text, ${ID_DIGITS}, '0') as job_id,
      c.created_ms, c.ran_ms, c.created_ms + c.ran_ms + (n * 6151 % 80000) * 1000 as updated_ms, s.state, s.shown,
      case when n % 5 = 0 then 'bob' else 'alice' end as initiator,
      jsonb_build_object('project', 'project-' || n % ${VALUES.project}, 'flow_id', 'flow-' || n % ${VALUES.flow})
        || case when n % 7 = 0 then jsonb_build_object('schedule_id', 'schedule-' || n % ${VALUES.schedule}) else '{}' end as fields
    from generate_series($1::bigint, $2::bigint) n
    cross join lateral (
      select ${createdAt(jobs, filledAt, 0)} + n * ${stepOf(jobs)} as created_ms, n * 104729 % ${HOUR_MS} as ran_ms
    ) c
    cross join lateral (
      select case when n % 19 < 13 then 'Succeeded' when n % 19 < 17 then 'Failed' else 'Cancelled' end as state,
        case when n % 19 < 13 then 'Finished' when n % 19 < 17 then 'Error' else 'Discarded' end as shown
    ) s`;
}

/** A uuid of version 7 of the job's time; `place` is a row's among those of its job and table. */
export function uuidOf(place: string): string {
  return `(lpad(to_hex(v.created_ms), 12, '0') || '70008' || lpad(to_hex(${place}), 3, '0') || lpad(to_hex(v.n), 12, '0'))::uuid`;
}

const timeOf = (ms: string): string => `to_timestamp((${ms}) / 1000.0)`;

/** Columns of `jobs` that differ, out of `v` and of the copied job `p`. Its tasks are those of the copied job. */
export const VARIED_COLUMNS: Readonly<Record<string, string>> = {
  initiator: "v.initiator",
  custom_fields: "v.fields",
  state: "v.state",
  shown: "v.shown",
  duration_rank: "v.ran_ms",
  created_at: timeOf("v.created_ms"),
  started_at: timeOf("v.updated_ms - v.ran_ms"),
  ended_at: timeOf("v.updated_ms"),
  since: timeOf("v.updated_ms"),
  updated_at: timeOf("v.updated_ms"),
  lists: `array['all', 'initiator:' || v.initiator]
    || array(select 'partner:' || d.domain from jsonb_object_keys(p.domains) as d(domain) where d.domain <> v.initiator)
    || array(select 'field:' || f.key || '=' || lower(f.value) from jsonb_each_text(v.fields) as f)`,
};
