-- Purpose  Ask which jobs have a run that may start, for all jobs of a worker at once: what is in it is as run.py's
--          condition and peek.sql have it. Joined to the branches of peek.sql.
-- Locks    none: an empty look costs no transaction id.
-- Fence    none: the answer is a hint; the claim decides.
-- Index    run_pending, one probe a job that has runs which wait; handler's unique key.
-- It costs by the jobs that have something waiting, not by those that there are.
(with recursive waiting (function) as (
    select min(r.function) from poller.run as r where r.status = 'pending'
 union all
    select (select min(r.function) from poller.run as r where r.status = 'pending' and r.function > w.function)
      from waiting as w
     where w.function is not null
)
select h.id, false
  from waiting as w
  join poller.handler as h on h.table_name = 'poller.run' and h.status = w.function
 where h.id = any ({handlers}::integer[])
   and (select true
          from poller.run as t
         where t.status = 'pending'
           and t.function = w.function
           and t.due_at <= (select poller.now())
           and not exists (select from poller.job as held where held.name = t.job and held.paused_at is not null)
           and (h.id <> all ({in_turn}::integer[])
                or not exists (select from poller.run as earlier
                                where earlier.job = t.job and earlier.id < t.id
                                  and earlier.status in ('pending', 'running')))
           and t.id::text not in (
                 select k.key from poller.claim as c, unnest(c.keys) as k (key) where c.handler_id = h.id)
           and (select true from poller.attempt as a
                 where a.handler_id = h.id and poller.digest(a.key) = poller.digest(t.id::text) limit 1) is null
         order by t.due_at, t.id
         limit 1))
