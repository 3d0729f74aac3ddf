-- Purpose  Look which jobs do not go as they should: a run that did not start in its grace time, or was not even planned; a slot
--          that was skipped since an earlier run was in progress, not one that made way for a later one after a downtime; a
--          run that takes longer than it may; no success for as long as one is expected, since the job was changed or resumed
--          last, within its `starts_at` and `ends_at`. None that is paused. What has become late or stale while no worker was
--          up has its grace time from then on.
-- Locks    none.
-- Fence    none: read-only; open_episodes.sql writes down what is new.
-- Index    run_pending, job_next, run_unfinished, run_succeeded, run_skipped, episode_open; twenty rows a function at most, and
--          all that run; the handlers of each worker, once; run's unique key, what was skipped in a row.
with known as materialized (
    select k.function, make_interval(secs => k.long) as long, make_interval(secs => k.expect) as expect
      from unnest(%(functions)s::text[], %(long)s::float8[], %(expect)s::float8[]) as k (function, long, expect)
), up as materialized (
    select h.status as function, min(w.started_at) as since
      from poller.worker as w
     cross join lateral unnest(w.handlers) as x (id)
      join poller.handler as h on h.id = x.id
     where h.table_name = 'poller.run' and (w.died_at is null or w.died_at > poller.now() - interval '1 hour')
     group by h.status
), late as (
    select r.job, r.function, r.planned_at as since
      from known as k
     cross join lateral (
           select w.job, w.function, w.planned_at, w.due_at
             from poller.run as w
            where w.function = k.function and w.status = 'pending' and w.attempt = 0
              and w.due_at < poller.now() - interval '1 second'
              and not exists (select from poller.run as o
                               where o.job = w.job and o.id < w.id and o.status in ('pending', 'running'))
            order by w.due_at, w.id
            limit 20) as r
      join poller.job as j on j.name = r.job
      left join up on up.function = k.function
     where j.paused_at is null and r.due_at < poller.now() - j.grace
       and (greatest(r.due_at, up.since) < poller.now() - j.grace
            or exists (select from poller.episode as e
                        where e.subject_type = 'job' and e.subject = j.name and e.kind = 'late' and e.closed_at is null))
     union all
    select j.name, j.function, j.next_at
      from known as k
     cross join lateral (
           select w.name, w.function, coalesce(w.next_at, greatest(w.planned_to, w.changed_at)) as next_at, w.grace
             from poller.job as w
            where w.function = k.function and w.schedule is not null and w.paused_at is null and not w.exhausted
              and coalesce(w.next_at, timestamptz '-infinity') < poller.now() - interval '1 second'
              and (w.next_at is not null or w.kind <> 'fixed_delay')
            order by coalesce(w.next_at, timestamptz '-infinity')
            limit 20) as j
     where j.next_at < poller.now() - j.grace
)
select 'late' as kind, l.job, l.function, min(l.since) as since, null::timestamptz as at, 0 as more
  from late as l
 group by l.job, l.function
 union all
select 'missed', m.job, m.function, m.since, m.at, m.more
  from (select r.job, r.function, max(r.planned_at) as since, max(r.finished_at) as at, count(*) as more
          from poller.run as r
          join known as k on k.function = r.function
          join poller.job as j on j.name = r.job
         where r.status = 'skipped' and j.paused_at is null
           and r.finished_at > poller.now() - interval '1 hour'
           and r.finished_at > coalesce(
                 (select e.last_at from poller.episode as e
                   where e.subject_type = 'job' and e.subject = r.job and e.kind = 'missed'
                   order by e.last_at desc
                   limit 1), '-infinity')
         group by r.job, r.function) as m
  join lateral (
       select o.finished_at from poller.run as o
        where o.job = m.job and o.planned_at < m.since and o.status <> 'skipped'
        order by o.planned_at desc
        limit 1) as before on coalesce(before.finished_at > m.at, true)
 union all
select 'long', r.job, r.function, min(r.started_at), null, 0
  from poller.run as r
  join known as k on k.function = r.function
  join poller.job as j on j.name = r.job
 where r.status = 'running' and j.paused_at is null and r.started_at < poller.now() - k.long
 group by r.job, r.function
 union all
select 'stale', j.name, j.function, s.since, null, 0
  from known as k
  join poller.job as j on j.name = k.function
 cross join lateral (
       select greatest(j.starts_at, coalesce(
              (select r.finished_at from poller.run as r
                where r.job = j.name and r.status = 'succeeded'
                order by r.planned_at desc
                limit 1), j.anchor)) as since) as s
  left join up on up.function = k.function
 where k.expect is not null and j.paused_at is null
   and s.since < poller.now() - k.expect
   and (not j.exhausted and j.changed_at < poller.now() - k.expect
        and not coalesce(s.since + k.expect < up.since and up.since > poller.now() - j.grace, false)
        or exists (select from poller.episode as e
                    where e.subject_type = 'job' and e.subject = j.name and e.kind = 'stale' and e.closed_at is null))
