-- Purpose  End the episodes of what is there no more, of which there is nothing to tell: of a job that was removed; of one
--          without a success whose schedule has ended; of a job or a handler that no program has known for an hour, in which
--          the asking one was there; of a host that has had no worker for a day.
-- Locks    poller.episode: those rows, SKIP LOCKED.
-- Fence    the row is open still: an episode ends once.
-- Index    episode_open; job's, watched's primary keys; handler's unique key; one row a worker.
with gone as materialized (
    select e.id
      from poller.episode as e
      left join poller.job as j on e.subject_type = 'job' and j.name = e.subject
     where e.closed_at is null
       and case when e.subject_type = 'host' then e.last_at < poller.now() - interval '1 day'
                when e.subject_type = 'job' and (j.name is null or e.kind = 'stale' and j.exhausted) then true
                else %(since)s::timestamptz < poller.now() - interval '1 hour'
                     and not exists (select from poller.watched as w
                                      where w.function = coalesce(j.function, e.subject)
                                        and w.seen_at > poller.now() - interval '1 hour')
                     and not exists (select from poller.worker as w
                                       join poller.handler as h on h.id = any (w.handlers)
                                      where w.died_at is null
                                        and case when j.name is null then h.table_name || ':' || h.status = e.subject
                                                 else h.table_name = 'poller.run' and h.status = j.function end)
           end
       for update of e skip locked
)
update poller.episode as e
   set closed_at = poller.now(), owed = null
  from gone
 where e.id = gone.id
