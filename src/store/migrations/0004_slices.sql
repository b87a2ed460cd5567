-- Reading what a batch needs, for less: with one plan for all calls, and without the ready tasks that no slot is free for,
-- which in a job of many tasks were read again with every report.

create or replace function load_slices(
  ids text[], uids uuid[], part_uids uuid[], part_idx int[], image_names text[], task_ids text[],
  callers text[], request_ids text[], whole_below int
) returns json
language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
-- Planning anew for each call cost more than the call.
set plan_cache_mode = force_generic_plan
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
    -- Of the jobs that are not read whole: named one by one, so that each is looked up by its key.
    wanted as materialized (
      select p.uid, p.idx from heads h join parts p on p.uid = h.uid where not h.whole
      union
      select d.job_uid, n.idx from heads h join parts p on p.uid = h.uid
        join tasks d on d.job_uid = p.uid and d.idx = p.idx cross join unnest(d.dependents) as n(idx)
      where not h.whole
      union
      -- As many ready tasks as these moves can start: the free slots and one for each task that ends.
      select h.uid, r.idx from heads h cross join lateral (
        select t.idx from tasks t
        where t.job_uid = h.uid and t.state = 'Pending' and not t.live and t.waiting_on = 0
        order by t.priority desc, t.idx
        limit greatest(0, h.max_parallelism - (h.counts ->> 'live')::int) + (select count(*) from parts p where p.uid = h.uid)
      ) r
      where not h.whole
    ),
    touched as materialized (
      select t.* from heads h join tasks t on t.job_uid = h.uid where h.whole
      union all
      select t.* from wanted w join tasks t on t.job_uid = w.uid and t.idx = w.idx
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
