-- A batch comes as arrays of rows in Postgres' binary form (binary-rows.ts), not as JSON that is parsed again for each value.
--
-- The row types are those of saved-rows.ts, column by column.

drop function apply_batch(json, json, json, json, json, json, json, json, json, json, json, boolean);

create type job_change as (
  uid uuid,
  version int,
  domains jsonb,
  state text,
  reason text,
  message text,
  since timestamptz,
  wanted jsonb,
  cause text,
  counts jsonb,
  started_at timestamptz,
  ended_at timestamptz,
  interrupted_ms bigint,
  updated_at timestamptz,
  begun boolean,
  shown text,
  duration_rank bigint
);

create type new_job as (
  uid uuid,
  version int,
  domains jsonb,
  state text,
  reason text,
  message text,
  since timestamptz,
  wanted jsonb,
  cause text,
  counts jsonb,
  started_at timestamptz,
  ended_at timestamptz,
  interrupted_ms bigint,
  updated_at timestamptz,
  begun boolean,
  shown text,
  duration_rank bigint,
  job_id text,
  initiator text,
  max_parallelism int,
  schedule_mode text,
  custom_fields jsonb,
  content_hash text,
  surface text,
  created_by jsonb,
  created_at timestamptz,
  lists text[]
);

create type deleted_job as (uid uuid, version int);

create type task_change as (
  job_uid uuid,
  idx int,
  waiting_on int,
  state text,
  reason text,
  message text,
  since timestamptz,
  created_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  progress real,
  attempt int,
  tries int,
  live boolean,
  runner text,
  stopping json,
  not_before timestamptz,
  deadline timestamptz,
  parties json
);

create type new_task as (
  job_uid uuid,
  idx int,
  waiting_on int,
  state text,
  reason text,
  message text,
  since timestamptz,
  created_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  progress real,
  attempt int,
  tries int,
  live boolean,
  runner text,
  stopping json,
  not_before timestamptz,
  deadline timestamptz,
  parties json,
  alias text,
  task_id text,
  definition json,
  image_digest text,
  priority int,
  dependents int[]
);

create type saved_attempt as (
  uid uuid,
  job_uid uuid,
  task_idx int,
  number int,
  domain text,
  role text,
  replica int,
  runner text,
  state text,
  exit_code int,
  signal text,
  message text,
  created_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz
);

create type new_input as (job_uid uuid, idx int, input_config text);

create type new_request as (job_uid uuid, caller text, request_id text, job_id text, content_hash text);

create type new_command as (job_uid uuid, verb text, actor jsonb, reason text, "time" timestamptz, result text);

-- An image that new jobs of a batch are made with, as it was when they were.
create type used_image as (name text, digest text);

create type new_event as (job_uid uuid, job_id text, kind text, "time" timestamptz, detail json);

-- Writes one batch: all changed jobs of it, in one statement that commits by itself.
--
-- A changed job is written where its version is still the one it was read at (`version` holds the next one); a new job
-- where its job_id is free and the images of the batch are as they were. Rows of a job that lost are skipped as a whole. `work` is told to the listeners.
-- Answer: { lost: [uid], revision } where revision is the last one given out, null where none was.
--
-- Order: rows first, then the lock, then revisions. The lock is held to the commit, so revisions become visible in
-- order, and only for the short end of the statement, so batches of other processes overlap with the row work.
create function save_batch(
  changed_jobs job_change[], changed_tasks task_change[], changed_attempts saved_attempt[], new_attempts saved_attempt[],
  deleted_jobs deleted_job[], new_jobs new_job[], new_tasks new_task[], new_inputs new_input[], new_requests new_request[],
  used_images used_image[], new_commands new_command[], new_events new_event[], work boolean
) returns json
language plpgsql
-- The tables grow by orders of magnitude under a cached plan; every access here is by key.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  won uuid[] := '{}';
  gone uuid[] := '{}';
  made uuid[] := '{}';
  -- As a rule none has lost, and then no row has to be looked for among those that won.
  every boolean;
  last_revision bigint;
begin
  if cardinality(changed_jobs) + cardinality(deleted_jobs) > 0 then
    -- In uid order, so that two processes never wait for each other crosswise.
    with wanted as (
      select n.uid, n.version - 1 as version from unnest(changed_jobs) n
      union all
      select d.uid, d.version - 1 from unnest(deleted_jobs) d
    ), locked as (
      select j.uid from jobs j join wanted w on w.uid = j.uid and w.version = j.version order by j.uid for update of j
    )
    select coalesce(array_agg(uid), '{}') into won from locked;
    every := cardinality(won) = cardinality(changed_jobs) + cardinality(deleted_jobs);
  end if;

  if cardinality(won) > 0 then
    if cardinality(changed_jobs) > 0 then
      -- Before the jobs themselves, whose rows still say where their entries stand. A change that leaves the standing and
      -- `updated_at` as they are costs the lists nothing.
      update job_entries e set
        standing = n.state || '/' || n.shown, updated_at = n.updated_at, duration_rank = n.duration_rank
      from unnest(changed_jobs) n join jobs j on j.uid = n.uid
      where (every or n.uid = any (won))
        and (n.state <> j.state or n.shown <> j.shown or n.updated_at <> j.updated_at)
        and e.list = any (j.lists) and e.standing = j.state || '/' || j.shown and e.job_uid = j.uid;

      update jobs j set
        domains = n.domains, state = n.state, reason = n.reason, message = n.message, since = n.since, wanted = n.wanted,
        cause = n.cause, counts = n.counts, started_at = n.started_at, ended_at = n.ended_at,
        interrupted_ms = n.interrupted_ms, version = n.version, begun = n.begun, shown = n.shown,
        duration_rank = n.duration_rank, updated_at = n.updated_at
      from unnest(changed_jobs) n
      where j.uid = n.uid and (every or n.uid = any (won));
    end if;

    if cardinality(changed_tasks) > 0 then
      update tasks t set
        waiting_on = n.waiting_on, state = n.state, reason = n.reason, message = n.message, since = n.since,
        created_at = n.created_at, started_at = n.started_at, ended_at = n.ended_at, progress = n.progress,
        attempt = n.attempt, tries = n.tries, live = n.live, runner = n.runner, stopping = n.stopping,
        not_before = n.not_before, deadline = n.deadline, parties = n.parties
      from unnest(changed_tasks) n
      where t.job_uid = n.job_uid and t.idx = n.idx and (every or n.job_uid = any (won));
    end if;

    if cardinality(new_attempts) > 0 then
      insert into attempts (uid, job_uid, task_idx, number, domain, role, replica, runner, state, exit_code, signal, message,
        created_at, started_at, ended_at)
      select n.uid, n.job_uid, n.task_idx, n.number, n.domain, n.role, n.replica, n.runner, n.state, n.exit_code, n.signal,
        n.message, n.created_at, n.started_at, n.ended_at
      from unnest(new_attempts) n where every or n.job_uid = any (won);
    end if;

    if cardinality(changed_attempts) > 0 then
      update attempts a set
        state = n.state, exit_code = n.exit_code, signal = n.signal, message = n.message,
        started_at = n.started_at, ended_at = n.ended_at
      from unnest(changed_attempts) n
      where a.uid = n.uid and (every or n.job_uid = any (won));
    end if;

    if cardinality(deleted_jobs) > 0 then
      select coalesce(array_agg(d.uid), '{}') into gone from unnest(deleted_jobs) d where d.uid = any (won);
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

  if cardinality(new_jobs) > 0 and not exists (
    select from unnest(used_images) u left join app_images i on i.name = u.name where i.digest is distinct from u.digest
  ) then
    with inserted as (
      insert into jobs (uid, version, domains, state, reason, message, since, wanted, cause, counts, started_at, ended_at,
        interrupted_ms, updated_at, begun, shown, duration_rank, job_id, initiator, max_parallelism, schedule_mode,
        custom_fields, content_hash, surface, created_by, created_at, lists)
      select n.uid, n.version, n.domains, n.state, n.reason, n.message, n.since, n.wanted, n.cause, n.counts, n.started_at,
        n.ended_at, n.interrupted_ms, n.updated_at, n.begun, n.shown, n.duration_rank, n.job_id, n.initiator,
        n.max_parallelism, n.schedule_mode, n.custom_fields, n.content_hash, n.surface, n.created_by, n.created_at, n.lists
      from unnest(new_jobs) n
      order by n.uid
      on conflict (job_id) do nothing
      returning uid, lists, state, shown, updated_at, duration_rank
    ), listed as (
      insert into job_entries (list, standing, updated_at, duration_rank, job_uid)
      select l.list, i.state || '/' || i.shown, i.updated_at, i.duration_rank, i.uid
      from inserted i cross join unnest(i.lists) as l(list)
    )
    select coalesce(array_agg(uid), '{}') into made from inserted;
    every := cardinality(made) = cardinality(new_jobs);

    insert into tasks (job_uid, idx, waiting_on, state, reason, message, since, created_at, started_at, ended_at, progress,
      attempt, tries, live, runner, stopping, not_before, deadline, parties, alias, task_id, definition, image_digest,
      priority, dependents)
    select n.job_uid, n.idx, n.waiting_on, n.state, n.reason, n.message, n.since, n.created_at, n.started_at, n.ended_at,
      n.progress, n.attempt, n.tries, n.live, n.runner, n.stopping, n.not_before, n.deadline, n.parties, n.alias, n.task_id,
      n.definition, n.image_digest, n.priority, n.dependents
    from unnest(new_tasks) n where every or n.job_uid = any (made);

    insert into task_inputs (job_uid, idx, input_config)
    select n.job_uid, n.idx, n.input_config from unnest(new_inputs) n where every or n.job_uid = any (made);

    if cardinality(new_requests) > 0 then
      insert into requests (caller, request_id, job_id, content_hash)
      select n.caller, n.request_id, n.job_id, n.content_hash
      from unnest(new_requests) n where every or n.job_uid = any (made);
    end if;
    won := won || made;
  end if;

  every := cardinality(won) = cardinality(changed_jobs) + cardinality(deleted_jobs) + cardinality(new_jobs);
  if cardinality(won) > 0 then
    if cardinality(new_commands) > 0 then
      insert into commands (job_uid, verb, actor, reason, time, result)
      select n.job_uid, n.verb, n.actor, n.reason, n.time, n.result from unnest(new_commands) n
      where (every or n.job_uid = any (won)) and not n.job_uid = any (gone);
    end if;

    perform pg_advisory_xact_lock(7261983);
    insert into events (revision, job_uid, job_id, kind, time, detail)
    select nextval('revision'), n.job_uid, n.job_id, n.kind, n.time, n.detail
    from unnest(new_events) n where every or n.job_uid = any (won);
    get diagnostics last_revision = row_count;
    last_revision := case when last_revision > 0 then currval('revision') end;
    perform pg_notify('muster', json_build_object('revision', last_revision, 'work', work)::text);
  end if;

  return json_build_object('revision', last_revision, 'lost', (
    select coalesce(json_agg(l.uid), '[]') from (
      select n.uid from unnest(changed_jobs) n
      union all select d.uid from unnest(deleted_jobs) d
      union all select n.uid from unnest(new_jobs) n
    ) l where not every and not l.uid = any (won)
  ));
end
$$;
