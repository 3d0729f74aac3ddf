-- Purpose  Read the totals of runs and the times of jobs, for the fleet's gauges.
-- Locks    none.
-- Fence    none: read-only.
-- Index    run_total's and job's primary keys; job_next and run_pending, from a function's first.
-- A job is a function: schedules that were made at run time count for theirs. A run that may not start since its job is paused is
-- not overdue; a hundred of those are passed over.
with living as materialized (
    select w.handlers from poller.worker as w where w.died_at is null and w.heartbeat_at + w.lease > poller.now()
), live as materialized (
    select distinct l.id from living cross join unnest(living.handlers) as l (id)
), job as materialized (
    select h.status as name, d.paused_at is not null as is_paused, next.at as next_at, late.at as late_at,
           (select max(t.last_at) from poller.run_total as t where t.function = h.status and t.outcome = 'succeeded') as success_at,
           (select max(t.last_at) from poller.run_total as t
             where t.function = h.status and t.outcome in ('succeeded', 'failed')) as run_at
      from poller.handler as h
      join poller.job as d on d.name = h.status
      left join lateral (
           select j.next_at as at
             from poller.job as j
            where j.function = h.status and j.schedule is not null and j.paused_at is null and not j.exhausted
              and coalesce(j.next_at, timestamptz '-infinity') > '-infinity'
            order by j.function, coalesce(j.next_at, timestamptz '-infinity')
            limit 1) as next on true
      left join lateral (
           select f.due_at as at
             from (select r.job, r.due_at from poller.run as r
                    where r.function = h.status and r.status = 'pending'
                    order by r.function, r.due_at, r.id
                    limit 100) as f
            where not exists (select from poller.job as j where j.name = f.job and j.paused_at is not null)
            order by f.due_at
            limit 1) as late on true
     where h.table_name = 'poller.run'
       and (not exists (select from living) or h.id in (select l.id from live as l))
)
select 'runs_total', jsonb_build_object('job', r.job, 'outcome', r.outcome), sum(r.runs)::float8
  from (select t.function as job, t.outcome, t.runs from poller.run_total as t
         union all
        select j.name, o.outcome, 0 from job as j cross join (values ('succeeded'), ('failed')) as o (outcome)) as r
 group by r.job, r.outcome
 union all
select g.name, jsonb_build_object('job', j.name), g.value
  from job as j
 cross join lateral (
       values ('job_last_success_timestamp_seconds', extract(epoch from j.success_at)::float8),
              ('job_last_run_timestamp_seconds', extract(epoch from j.run_at)::float8),
              ('job_next_timestamp_seconds', extract(epoch from j.next_at)::float8),
              ('job_overdue_seconds',
               greatest(0, extract(epoch from poller.now() - least(j.next_at, j.late_at))::float8)),
              ('job_paused', case when j.is_paused then 1 else 0 end)) as g (name, value)
 where g.value is not null
