-- Purpose  Write leases for rows that claim_retries.sql locked, and read how often they were tried. Suspects (rows whose
--          worker died under them) come first: one lease for half as many as the company was in which they are suspected.
--          Other rows are retried alone: one row to a lease.
-- Locks    poller.attempt: those rows, FOR KEY SHARE SKIP LOCKED, so that what is read is not forgotten meanwhile (forget.sql).
--          poller.claim: new rows. poller.worker: key share, through the foreign key.
-- Fence    as in poller.take: a snapshot newer than the row's lock. A row that another worker has claimed,
--          settled or failed again since the first look is left out, and the count read here is the last. Nothing is
--          taken for a worker that was declared dead or drains, nor while the handler is paused.
-- Plans    nothing is joined: of arrays and steps no planner knows the size, and it takes nested loops then.
-- Index    attempt_key; claim_handler; the primary keys of poller.worker and poller.handler.
with due as materialized (
    select a.key, a.attempt, a.company, a.visit, a.next_at,
           extract(epoch from poller.now() - a.first_at)::float8 as age
      from poller.attempt as a
     where a.handler_id = %(handler)s
       and poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key)))
       and a.state <> 'parked'
       and a.next_at <= poller.now()
       and (a.company = 0 or %(suspects)s > 0)
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
       and exists (select from poller.worker as w where w.id = %(worker)s and w.died_at is null and w.drain_at is null)
       and not exists (select from poller.handler as h
                        where h.id = %(handler)s and h.paused_at is not null and coalesce(h.paused_until > poller.now(), true))
       for key share of a skip locked
), shared as materialized (
    select gen_random_uuid() as lease, max(due.company) as company,
           case when max(due.company) = 0 then %(others)s::integer
                else least(%(suspects)s::integer, greatest(1, max(due.company) / 2)) end as most
      from due
), chosen as materialized (
    select case when due.company = 0 then gen_random_uuid() else (select shared.lease from shared) end as lease, due.*
      from due
     where due.company = (select shared.company from shared)
     order by due.next_at
     limit (select shared.most from shared)
), claim as (
    insert into poller.claim (lease, handler_id, worker_id, keys)
    select c.lease, %(handler)s, %(worker)s, array_agg(c.key) from chosen as c group by c.lease
)
select c.key, c.lease, c.attempt, c.company, c.visit, c.age, extract(epoch from poller.now() - c.next_at)::float8 as due_for,
       poller.now()
  from chosen as c
