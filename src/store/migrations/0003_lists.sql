-- Finding jobs: what a job is found by, kept apart from the job.
--
-- Job rows are large and are written several times in a job's life. An index on a column that changes would make each of
-- these writes insert into every index of the table, so the columns that lists are sorted and filtered by lie in narrow
-- rows of their own, `job_entries`, and only a change that moves a job within the lists writes them.

-- Names are ordered and searched by code unit, whatever the database's locale; the unique index is the index for that.
alter table jobs alter column job_id type text collate "C";

alter table jobs
  -- Whether an attempt has begun since the job was made or last restarted.
  add column begun boolean not null default false,
  -- What a person calls the job's state, an end that was asked for counting as taken.
  add column shown text not null default 'Waiting'
    check (shown in ('Waiting', 'Running', 'Stopped', 'Finished', 'Error', 'Discarded')),
  -- The lists that it is in: every job, its initiator's, its partners', and its custom fields'.
  add column lists text[] collate "C" not null default '{}',
  -- Milliseconds it ran; of a job that runs, a number above all of these that does not grow.
  add column duration_rank bigint not null default 0;

-- What the jobs of before would have been saved with.
update jobs j set begun = exists (select from attempts a where a.job_uid = j.uid and a.started_at is not null);
update jobs set shown = case coalesce(wanted ->> 'outcome', state)
    when 'Running' then case when begun then 'Running' else 'Waiting' end
    when 'Suspended' then 'Stopped'
    when 'Succeeded' then 'Finished'
    when 'Failed' then 'Error'
    when 'Cancelled' then 'Discarded'
    when 'Deleted' then 'Discarded'
    when 'ApprovalReject' then 'Discarded'
    else 'Waiting'
  end,
  duration_rank = case
    when started_at is null then 0
    when ended_at is null and state <> 'Suspended'
      then 8640000000000000 - (extract(epoch from started_at) * 1000)::bigint - interrupted_ms
    else greatest(0, (extract(epoch from coalesce(ended_at, since) - started_at) * 1000)::bigint - interrupted_ms)
  end,
  lists = array['all', 'initiator:' || initiator]
    || array(select 'partner:' || d.domain from jsonb_object_keys(domains) as d(domain) where d.domain <> initiator)
    || array(select 'field:' || f.key || '=' || lower(f.value) from jsonb_each_text(custom_fields) as f);
alter table jobs
  alter column begun drop default, alter column shown drop default, alter column lists drop default,
  alter column duration_rank drop default;

-- One row per job and list that the job is in.
--
-- standing is `<state>/<shown>`, one of a dozen pairs: a filter by either is a set of them, and a scan of several is a
-- merge of one ordered scan each. Within a standing the primary key has the order of creation, since uids begin with the
-- time.
create table job_entries (
  list text collate "C" not null,
  standing text collate "C" not null,
  updated_at timestamptz not null,
  duration_rank bigint not null,
  job_uid uuid not null,
  primary key (list, standing, job_uid)
);

-- No two keys are equal, so there is nothing to deduplicate.
create index job_entries_updated on job_entries (list, standing, updated_at, job_uid) with (deduplicate_items = off);
create index job_entries_duration on job_entries (duration_rank, job_uid) where list = 'all';

insert into job_entries (list, standing, updated_at, duration_rank, job_uid)
select l.list, j.state || '/' || j.shown, j.updated_at, j.duration_rank, j.uid from jobs j
  cross join unnest(j.lists) as l(list);

-- What page tokens are signed with; made once, here, so that a token is good at every server of this database.
create table page_token_key (
  only_row boolean primary key default true check (only_row),
  key bytea not null
);
-- Two UUIDs hold 244 random bits.
insert into page_token_key (key)
values (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

-- As in the first migration, and it keeps jobs' `updated_at` and their entries.

create or replace function apply_batch(
  changed_jobs json, changed_tasks json, changed_attempts json, new_attempts json, deleted_jobs json,
  new_jobs json, new_tasks json, new_inputs json, new_requests json, new_commands json, new_events json, work boolean
) returns json
language plpgsql
-- The tables grow by orders of magnitude under a cached plan; every access here is by key.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  won uuid[];
  gone uuid[] := '{}';
  made uuid[];
  last_revision bigint;
begin
  -- In uid order, so that two processes never wait for each other crosswise.
  with wanted as (
    select n.uid, n.version - 1 as version from json_to_recordset(changed_jobs) as n(uid uuid, version int)
    union all
    select d.uid, d.version - 1 from json_to_recordset(deleted_jobs) as d(uid uuid, version int)
  ), locked as (
    select j.uid from jobs j join wanted w on w.uid = j.uid and w.version = j.version order by j.uid for update of j
  )
  select coalesce(array_agg(uid), '{}') into won from locked;

  if cardinality(won) > 0 then
    -- Before the jobs themselves, whose rows still say where their entries stand. A change within a second that leaves the
    -- standing as it is costs the lists nothing; the condition is that of `updated_at` below.
    update job_entries e set
      standing = n.state || '/' || n.shown, updated_at = greatest(n.updated_at, j.updated_at), duration_rank = n.duration_rank
    from json_to_recordset(changed_jobs)
      as n(uid uuid, state text, shown text, updated_at timestamptz, duration_rank bigint)
      join jobs j on j.uid = n.uid
    where n.uid = any (won)
      and (n.state <> j.state or n.shown <> j.shown or n.updated_at >= j.updated_at + interval '1 second')
      and e.list = any (j.lists) and e.standing = j.state || '/' || j.shown and e.job_uid = j.uid;

    update jobs j set
      domains = n.domains, state = n.state, reason = n.reason, message = n.message, since = n.since, wanted = n.wanted,
      cause = n.cause, counts = n.counts, started_at = n.started_at, ended_at = n.ended_at,
      interrupted_ms = n.interrupted_ms, version = n.version,
      begun = n.begun, shown = n.shown, duration_rank = n.duration_rank, updated_at = case
        when n.state <> j.state or n.shown <> j.shown or n.updated_at >= j.updated_at + interval '1 second'
        then greatest(n.updated_at, j.updated_at) else j.updated_at end
    from json_populate_recordset(null::jobs, changed_jobs) n
    where j.uid = n.uid and n.uid = any (won);

    update tasks t set
      waiting_on = n.waiting_on, state = n.state, reason = n.reason, message = n.message, since = n.since,
      created_at = n.created_at, started_at = n.started_at, ended_at = n.ended_at, progress = n.progress,
      attempt = n.attempt, tries = n.tries, live = n.live, runner = n.runner, stopping = n.stopping,
      not_before = n.not_before, deadline = n.deadline, parties = n.parties
    from json_populate_recordset(null::tasks, changed_tasks) n
    where t.job_uid = n.job_uid and t.idx = n.idx and n.job_uid = any (won);

    insert into attempts
    select n.* from json_populate_recordset(null::attempts, new_attempts) n where n.job_uid = any (won);

    update attempts a set
      state = n.state, exit_code = n.exit_code, signal = n.signal, message = n.message,
      started_at = n.started_at, ended_at = n.ended_at
    from json_populate_recordset(null::attempts, changed_attempts) n
    where a.uid = n.uid and n.job_uid = any (won);

    select coalesce(array_agg(d.uid), '{}') into gone
    from json_to_recordset(deleted_jobs) as d(uid uuid) where d.uid = any (won);
    if cardinality(gone) > 0 then
      insert into tombstones (job_uid, job, tasks)
      select j.uid, to_jsonb(j),
        (select coalesce(jsonb_agg(to_jsonb(t) order by t.idx), '[]') from tasks t where t.job_uid = j.uid)
      from jobs j where j.uid = any (gone);
      delete from job_entries e using jobs j
      where j.uid = any (gone) and e.list = any (j.lists) and e.standing = j.state || '/' || j.shown and e.job_uid = j.uid;
      delete from commands where job_uid = any (gone);
      delete from attempts where job_uid = any (gone);
      delete from task_inputs where job_uid = any (gone);
      delete from tasks where job_uid = any (gone);
      delete from jobs where uid = any (gone);
    end if;
  end if;

  if json_array_length(new_jobs) > 0 then
    with inserted as (
      insert into jobs select n.* from json_populate_recordset(null::jobs, new_jobs) n
      order by n.uid
      on conflict (job_id) do nothing
      returning uid, lists, state, shown, updated_at, duration_rank
    ), listed as (
      insert into job_entries (list, standing, updated_at, duration_rank, job_uid)
      select l.list, i.state || '/' || i.shown, i.updated_at, i.duration_rank, i.uid
      from inserted i cross join unnest(i.lists) as l(list)
    )
    select coalesce(array_agg(uid), '{}') into made from inserted;
    insert into tasks
    select n.* from json_populate_recordset(null::tasks, new_tasks) n where n.job_uid = any (made);
    insert into task_inputs
    select n.* from json_populate_recordset(null::task_inputs, new_inputs) n where n.job_uid = any (made);
    insert into requests (caller, request_id, job_id, content_hash)
    select n.caller, n.request_id, n.job_id, n.content_hash
    from json_to_recordset(new_requests) as n(caller text, request_id text, job_id text, content_hash text, job_uid uuid)
    where n.job_uid = any (made);
    won := won || made;
  end if;

  if cardinality(won) = 0 then
    return json_build_object('won', '[]'::json, 'revision', null);
  end if;

  insert into commands (job_uid, verb, actor, reason, time, result)
  select n.job_uid, n.verb, n.actor, n.reason, n.time, n.result
  from json_populate_recordset(null::commands, new_commands) n
  where n.job_uid = any (won) and not n.job_uid = any (gone);

  perform pg_advisory_xact_lock(7261983);
  insert into events
  select nextval('revision'), n.job_uid, n.job_id, n.kind, n.time, n.detail
  from (
    select e.* from rows from (json_populate_recordset(null::events, new_events)) with ordinality
      as e(revision, job_uid, job_id, kind, time, detail, position)
    order by e.position
  ) n
  where n.job_uid = any (won);
  get diagnostics last_revision = row_count;
  last_revision := case when last_revision > 0 then currval('revision') end;
  perform pg_notify('muster', json_build_object('revision', last_revision, 'work', work)::text);
  return json_build_object('won', to_json(won), 'revision', last_revision);
end
$$;

-- Scans of entries in an order, from an exclusive start on; no job may be in two of the lists. Each reads at most skip + n
-- rows per list and standing, whatever the history. Sorting and bitmaps are off, so that no estimate of the planner's makes it read a whole list to
-- sort it.

create function scan_created(
  lists text[], standings text[], start_uid uuid, end_uid uuid, descending boolean, skip int, n int
) returns table (job_uid uuid, rank text)
language plpgsql stable
set enable_sort = off set enable_bitmapscan = off set enable_seqscan = off
as $$
begin
  if descending then
    return query
    select x.job_uid, ''::text from unnest(lists) as l(list) cross join unnest(standings) as s(standing)
    cross join lateral (
      select e.job_uid from job_entries e
      where e.list = l.list and e.standing = s.standing and e.job_uid < start_uid and e.job_uid >= end_uid
      order by e.job_uid desc limit skip + n
    ) x order by x.job_uid desc offset skip limit n;
  else
    return query
    select x.job_uid, ''::text from unnest(lists) as l(list) cross join unnest(standings) as s(standing)
    cross join lateral (
      select e.job_uid from job_entries e
      where e.list = l.list and e.standing = s.standing and e.job_uid > start_uid and e.job_uid < end_uid
      order by e.job_uid limit skip + n
    ) x order by x.job_uid offset skip limit n;
  end if;
end
$$;

create function scan_updated(
  lists text[], standings text[], start_at timestamptz, start_uid uuid, end_at timestamptz, descending boolean, skip int, n int
) returns table (job_uid uuid, rank text)
language plpgsql stable
set enable_sort = off set enable_bitmapscan = off set enable_seqscan = off
as $$
begin
  if descending then
    return query
    select x.job_uid, x.updated_at::text from unnest(lists) as l(list) cross join unnest(standings) as s(standing)
    cross join lateral (
      select e.job_uid, e.updated_at from job_entries e
      where e.list = l.list and e.standing = s.standing
        and (e.updated_at, e.job_uid) < (start_at, start_uid) and e.updated_at >= end_at
      order by e.updated_at desc, e.job_uid desc limit skip + n
    ) x order by x.updated_at desc, x.job_uid desc offset skip limit n;
  else
    return query
    select x.job_uid, x.updated_at::text from unnest(lists) as l(list) cross join unnest(standings) as s(standing)
    cross join lateral (
      select e.job_uid, e.updated_at from job_entries e
      where e.list = l.list and e.standing = s.standing
        and (e.updated_at, e.job_uid) > (start_at, start_uid) and e.updated_at < end_at
      order by e.updated_at, e.job_uid limit skip + n
    ) x order by x.updated_at, x.job_uid offset skip limit n;
  end if;
end
$$;

create function scan_durations(start_rank bigint, start_uid uuid, descending boolean, skip int, n int)
returns table (job_uid uuid, rank text)
language plpgsql stable
set enable_sort = off set enable_bitmapscan = off set enable_seqscan = off
as $$
begin
  if descending then
    return query
    select e.job_uid, e.duration_rank::text from job_entries e
    where e.list = 'all' and (e.duration_rank, e.job_uid) < (start_rank, start_uid)
    order by e.duration_rank desc, e.job_uid desc offset skip limit n;
  else
    return query
    select e.job_uid, e.duration_rank::text from job_entries e
    where e.list = 'all' and (e.duration_rank, e.job_uid) > (start_rank, start_uid)
    order by e.duration_rank, e.job_uid offset skip limit n;
  end if;
end
$$;

create function scan_names(start_name text, start_uid uuid, end_name text, descending boolean, skip int, n int)
returns table (job_uid uuid, rank text)
language plpgsql stable
set enable_sort = off set enable_bitmapscan = off set enable_seqscan = off
as $$
begin
  -- The uid only says whether a job of just this name is still to come: names are unique.
  if descending then
    return query
    select j.uid, j.job_id from jobs j
    where j.job_id <= start_name and (j.job_id, j.uid) < (start_name, start_uid) and j.job_id >= end_name
    order by j.job_id desc offset skip limit n;
  else
    return query
    select j.uid, j.job_id from jobs j
    where j.job_id >= start_name and (j.job_id, j.uid) > (start_name, start_uid) and j.job_id < end_name
    order by j.job_id offset skip limit n;
  end if;
end
$$;
