-- Jobs, their tasks and attempts, the event history and the one function that writes them.
--
-- Everything is keyed by the job's uid, which is never reused; job_id is unique among present jobs only. tasks, attempts
-- and commands have no foreign key to jobs: apply_batch is their only writer and checks the job's version first, and a
-- trigger per row would cost more than the insert.

create table jobs (
  uid uuid primary key,
  job_id text not null unique,
  version int not null,
  initiator text not null,
  domains jsonb not null,
  max_parallelism int not null check (max_parallelism >= 1),
  schedule_mode text not null check (schedule_mode in ('BestEffort', 'Strict')),
  custom_fields jsonb not null,
  content_hash text not null,
  surface text not null,
  created_by jsonb not null,
  state text not null check (state in
    ('AwaitingApproval', 'Pending', 'Running', 'Suspended', 'Succeeded', 'Failed', 'Cancelled', 'ApprovalReject')),
  reason text not null,
  message text not null,
  since timestamptz not null,
  wanted jsonb,
  cause text,
  counts jsonb not null,
  created_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,
  interrupted_ms bigint not null,
  updated_at timestamptz not null,
  check ((ended_at is not null) = (state in ('Succeeded', 'Failed', 'Cancelled', 'ApprovalReject'))),
  -- An ended job has nothing that lives.
  check (ended_at is null or (counts ->> 'live')::int = 0)
) with (fillfactor = 85);

create table tasks (
  job_uid uuid not null,
  idx int not null,
  alias text not null,
  task_id text not null unique,
  definition jsonb not null,
  image_digest text not null,
  priority int not null,
  waiting_on int not null check (waiting_on >= 0),
  dependents int[] not null,
  state text not null check (state in ('Pending', 'Running', 'Succeeded', 'Failed')),
  reason text not null,
  message text not null,
  since timestamptz not null,
  created_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  progress real not null check (progress >= 0 and progress <= 1),
  attempt int not null,
  tries int not null,
  live boolean not null,
  runner text,
  stopping jsonb,
  not_before timestamptz,
  deadline timestamptz,
  parties jsonb not null,
  primary key (job_uid, idx),
  check ((ended_at is not null) = (state in ('Succeeded', 'Failed'))),
  check (not (live and ended_at is not null))
) with (fillfactor = 70);

-- What a task's app is told. It may be large and never changes, so it is kept out of the rows that every move reads.
create table task_inputs (
  job_uid uuid not null,
  idx int not null,
  input_config text not null,
  primary key (job_uid, idx)
);

-- What the scheduler looks for: few rows, whatever the history.
create index tasks_live on tasks (job_uid, idx) where live;

create table attempts (
  uid uuid primary key,
  job_uid uuid not null,
  task_idx int not null,
  number int not null,
  domain text not null,
  role text not null,
  replica int not null,
  runner text not null,
  state text not null check (state in ('Starting', 'Running', 'Succeeded', 'Failed', 'Lost')),
  exit_code int,
  signal text,
  message text not null,
  created_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,
  check ((ended_at is not null) = (state in ('Succeeded', 'Failed', 'Lost')))
) with (fillfactor = 70);

create index attempts_of_task on attempts (job_uid, task_idx, number);
create index attempts_open on attempts (runner) where ended_at is null;

-- Commands that took effect: who, what, why, when. They live as long as the job.
create table commands (
  job_uid uuid not null,
  seq bigint generated always as identity,
  verb text not null,
  actor jsonb not null,
  reason text not null,
  time timestamptz not null,
  result text not null,
  primary key (job_uid, seq)
);

-- Requests that a client gave an id of its own, so that a repeat is answered as the first time, also after the job is gone.
-- Kept as long as the history.
create table requests (
  caller text not null,
  request_id text not null,
  job_id text not null,
  content_hash text not null,
  made_at timestamptz not null default now(),
  primary key (caller, request_id)
);

-- The history. Revisions are in commit order and never reused; a rollback may leave a hole.
create sequence revision as bigint;

create table events (
  revision bigint primary key,
  job_uid uuid not null,
  job_id text not null,
  kind text not null,
  time timestamptz not null,
  detail jsonb not null
);

create index events_of_job on events (job_uid, revision);

-- Everything up to `floor` has been pruned.
create table history (
  only_row boolean primary key default true check (only_row),
  floor bigint not null
);
insert into history (floor) values (0);

-- The last state of deleted jobs, for watchers that have not heard yet; kept as long as the history.
create table tombstones (
  job_uid uuid primary key,
  deleted_at timestamptz not null default now(),
  job jsonb not null,
  tasks jsonb not null
);

-- App images by name, and every content a present job may still use, by digest.
create table app_images (
  name text primary key,
  digest text not null,
  updated_at timestamptz not null default now()
);

create table app_image_contents (
  digest text primary key,
  content jsonb not null,
  -- Set by each write of the same content. A job that is being made may rest on it for a moment before its tasks are there.
  touched_at timestamptz not null default now()
);

-- One row per runner. The lease is judged by this database's clock; renewing takes no revision.
create table runners (
  id text primary key,
  lease_until timestamptz not null
);

-- Writes one batch: all changed jobs of it, in one statement that commits by itself.
--
-- Every argument but the last is an array of rows as JSON, as the tables' own. Arguments of their own, since picking a key
-- out of one large JSON text would parse all of it each time.
-- A changed job is written where its version is still the one it was read at (`version` holds the next one); a new job
-- where its job_id is free. Rows of a job that lost are skipped as a whole. `work` is told to the listeners.
-- Answer: { won: [uid], revision } where revision is the last one given out, null where nothing was written.
--
-- Order: rows first, then the lock, then revisions. The lock is held to the commit, so revisions become visible in
-- order, and only for the short end of the statement, so batches of other processes overlap with the row work.
create function apply_batch(
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
    update jobs j set
      domains = n.domains, state = n.state, reason = n.reason, message = n.message, since = n.since, wanted = n.wanted,
      cause = n.cause, counts = n.counts, started_at = n.started_at, ended_at = n.ended_at,
      interrupted_ms = n.interrupted_ms, updated_at = n.updated_at, version = n.version
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
      returning uid
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

-- Reads what a batch of moves needs, as of one moment: heads of jobs, the tasks that the moves can touch, the open attempts
-- of those tasks, and for new jobs the images and names that their rules ask about.
--
-- ids, uids: jobs to be read whole. part_uids, part_idx: pairs of job and touched task. Small jobs are read whole anyway.
create function load_slices(
  ids text[], uids uuid[], part_uids uuid[], part_idx int[], image_names text[], task_ids text[],
  callers text[], request_ids text[], whole_below int
) returns json
language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  return (
    with parts as materialized (
      select p.uid, p.idx from unnest(part_uids, part_idx) as p(uid, idx)
    ),
    asked as (
      select j.uid from jobs j where j.job_id = any (ids)
      union select unnest(uids)
      union select p.uid from parts p
    ),
    heads as materialized (
      select j.*, (j.job_id = any (ids) or j.uid = any (uids) or (j.counts ->> 'total')::int <= whole_below) as whole
      from asked a join jobs j on j.uid = a.uid
    ),
    touched as materialized (
      select t.* from heads h join tasks t on t.job_uid = h.uid where h.whole
      union all
      select t.* from heads h join tasks t on t.job_uid = h.uid and t.idx in (
        select p.idx from parts p where p.uid = h.uid
        union select unnest(d.dependents) from parts p join tasks d on d.job_uid = p.uid and d.idx = p.idx where p.uid = h.uid
        union (
          -- As many ready tasks as these moves can start: the free slots and one for each task that ends.
          select r.idx from tasks r
          where r.job_uid = h.uid and r.state = 'Pending' and not r.live and r.waiting_on = 0
          order by r.priority desc, r.idx
          limit h.max_parallelism + (select count(*) from parts p where p.uid = h.uid)
        )
      )
      where not h.whole
    )
    select json_build_object(
      'jobs', (select json_agg(h) from heads h),
      'tasks', (select json_agg(t) from touched t),
      'attempts', (select json_agg(a) from touched t
         join attempts a on a.job_uid = t.job_uid and a.task_idx = t.idx and a.number = t.attempt where t.live),
      'images', (select json_agg(json_build_object('name', i.name, 'digest', i.digest, 'content', c.content))
         from app_images i join app_image_contents c on c.digest = i.digest where i.name = any (image_names)),
      'taken', (select json_agg(json_build_object('task_id', t.task_id, 'job_id', j.job_id))
         from tasks t join jobs j on j.uid = t.job_uid where t.task_id = any (task_ids)),
      'requests', (select json_agg(json_build_object('caller', r.caller, 'request_id', r.request_id, 'hash', r.content_hash))
         from unnest(callers, request_ids) as q(caller, request_id)
         join requests r on r.caller = q.caller and r.request_id = q.request_id)
    )
  );
end
$$;
