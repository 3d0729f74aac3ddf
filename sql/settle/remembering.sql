-- Purpose  Say which handlers remember rows (in backoff, snoozed or parked), how many other supervisors know each of these
--          handlers, and how many of those come before this one in the order of their ids: whose turn it is to look.
-- Locks    none.
-- Fence    none: it saves work. What two look at together is forgotten once.
-- Index    attempt_key, one probe a handler; one row a worker, if there is anything to look at.
-- Returns  the clock in seconds, and [handler, others, before] for each.
with troubled as materialized (
    select h.id
      from unnest(%(handlers)s::integer[]) as h (id)
     where exists (select from poller.attempt as a where a.handler_id = h.id)
), other as materialized (
    select k.id, count(distinct w.supervisor) as supervisors,
           count(distinct w.supervisor) filter (where w.supervisor < %(supervisor)s::uuid) as before
      from poller.worker as w, unnest(w.handlers) as k (id)
     where exists (select from troubled)
       and w.died_at is null
       and w.supervisor <> %(supervisor)s::uuid
     group by k.id
)
select extract(epoch from poller.now())::float8 as clock,
       coalesce(jsonb_agg(jsonb_build_array(t.id, coalesce(o.supervisors, 0), coalesce(o.before, 0))), '[]') as handlers
  from troubled as t
  left join other as o on o.id = t.id
