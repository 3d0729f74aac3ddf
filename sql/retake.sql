-- Purpose  Write a lease for each row that claim_retries.sql locked, and read how often it was tried.
--          One row to a lease: what was in flight when a worker died is retried alone.
-- Locks    poller.claim: new rows. poller.worker: key share, through the foreign key.
-- Fence    as in poller.take: a snapshot newer than the row's lock. A row that another worker has claimed,
--          settled or failed again since the first look is left out, and the count read here is the last. Nothing is
--          taken for a worker that was declared dead.
-- Plans    nothing is joined: of arrays and steps no planner knows the size, and it takes nested loops then.
-- Index    the primary key of poller.attempt; claim_handler.
with due as materialized (
    select gen_random_uuid() as lease, a.key, a.attempt, a.crashes > 0 as crashed, a.isolated, a.visit,
           extract(epoch from poller.now() - a.first_at)::float8 as age
      from poller.attempt as a
     where a.handler_id = %(handler)s
       and a.key = any(%(keys)s::text[])
       and a.state <> 'parked'
       and a.next_at <= poller.now()
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
       and exists (select from poller.worker as w where w.id = %(worker)s and w.died_at is null)
), claim as (
    insert into poller.claim (lease, handler_id, worker_id, keys)
    select due.lease, %(handler)s, %(worker)s, array[due.key] from due
)
select due.key, due.lease, due.attempt, due.crashed, due.isolated, due.visit, due.age, poller.now() from due
