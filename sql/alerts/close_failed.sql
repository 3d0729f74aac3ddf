-- Purpose  End the episodes of jobs that have succeeded since they failed last; of jobs whose slots were missed once an hour
--          has passed, too; of handlers whose rows move and have not failed for ten minutes; of hosts on which a worker that
--          came after the last sign of life of the one that died has been up for a minute.
-- Locks    poller.episode: those rows, SKIP LOCKED.
-- Fence    the row is open still: an episode ends once.
-- Index    episode_open; run_succeeded; tally's primary key; one row a worker.
with over as materialized (
    select e.id
      from poller.episode as e
     where e.closed_at is null
       and case when e.subject_type = 'job' and e.kind in ('failed', 'missed')
                then (e.kind = 'failed' or e.last_at < poller.now() - interval '1 hour')
                     and exists (select from (select r.finished_at from poller.run as r
                                               where r.job = e.subject and r.status = 'succeeded'
                                               order by r.planned_at desc
                                               limit 1) as s
                                  where s.finished_at > e.last_at)
                when e.subject_type = 'handler' and e.kind = 'failed'
                then e.last_at < poller.now() - interval '10 minutes'
                     and exists (select from poller.tally as y
                                   join poller.handler as h on h.id = y.handler_id
                                  where y.minute > e.last_at and y.moved > 0
                                    and h.table_name || ':' || h.status = e.subject)
                when e.kind = 'gone'
                then exists (select from poller.worker as w
                              where w.host = e.subject and w.died_at is null and w.started_at < poller.now() - interval '1 minute'
                                and w.started_at > coalesce(
                                      (select max(d.heartbeat_at) from poller.worker as d
                                        where d.host = e.subject and d.died_at is not null and d.stopping_at is null), e.last_at))
           end
       for update skip locked
)
update poller.episode as e
   set closed_at = poller.now(),
       owed = case when e.notices = 0 then e.owed when %(recovery)s then 'recovered' end
  from over
 where e.id = over.id
