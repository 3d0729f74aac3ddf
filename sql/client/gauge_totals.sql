-- Purpose  Read the fleet's totals, the states of its workers and the times of its jobs, for the fleet's gauges.
-- Locks    none.
-- Fence    none: read-only.
-- Index    tally's primary key: an hour of minutes, and some; run_total's and job's primary keys; job_next and run_pending, from a
--          function's first.
-- A job is a function: schedules that were made at run time count for theirs. A run that may not start since its job is paused is
-- not overdue; a hundred of those are passed over.
with living as materialized (
    select w.handlers from poller.worker as w where w.died_at is null and w.heartbeat_at + w.lease > poller.now()
), live as materialized (
    select distinct l.id from living cross join unnest(living.handlers) as l (id)
), counted as materialized (
    select c.handler_id, sum(c.moved) as moved, sum(c.failed) as failed, sum(c.parked) as parked, sum(c.retried) as retried
      from (select t.handler_id, t.moved, t.failed, t.parked, t.retried from poller.row_total as t
             union all
            select y.handler_id, y.moved, y.failed, y.parked, y.retried from poller.tally as y
             where y.minute > coalesce((select max(t.minute) from poller.row_total as t), '-infinity')) as c
     group by c.handler_id
), worker as materialized (
    select case when w.died_at is not null or w.heartbeat_at + w.lease < poller.now() then 'dead'
                when w.stopping_at is not null then 'stopping'
                when w.drain_at is not null then 'draining'
                else 'alive' end as state
      from poller.worker as w
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
select 'rows_total' as name, jsonb_build_object('table', h.table_name, 'status', h.status, 'outcome', o.outcome) as labels,
       coalesce(sum(o.rows), 0)::float8 as value
  from poller.handler as h
  left join counted as c on c.handler_id = h.id
 cross join lateral (values ('moved', c.moved), ('failed', c.failed), ('parked', c.parked), ('retried', c.retried)) as o (outcome, rows)
 where h.table_name <> 'poller.run' and (c.handler_id is not null or h.id in (select l.id from live as l))
 group by h.table_name, h.status, o.outcome
 union all
select 'runs_total', jsonb_build_object('job', r.job, 'outcome', r.outcome), sum(r.runs)::float8
  from (select t.function as job, t.outcome, t.runs from poller.run_total as t
         union all
        select j.name, o.outcome, 0 from job as j cross join (values ('succeeded'), ('failed')) as o (outcome)) as r
 group by r.job, r.outcome
 union all
select 'alerts_total', jsonb_build_object('target', m.target, 'outcome', m.outcome), m.messages::float8
  from poller.message_total as m
 union all
select 'workers', jsonb_build_object('state', s.state), (select count(*) from worker as w where w.state = s.state)::float8
  from (values ('alive'), ('draining'), ('stopping'), ('dead')) as s (state)
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
