-- Purpose  Give up leases without an outcome, since their table is gone and with it what could be settled. Rows that show a
--          `during` are remembered, lest they show it for ever if the table comes back (restore_retried.sql).
-- Locks    poller.claim: those rows; then poller.attempt: new ones.
-- Fence    the lease ids.
-- Index    claim's primary key; attempt_key.
with given_up as (
    delete from poller.claim as c
     where c.lease = any(%(leases)s::uuid[])
    returning c.lease, c.handler_id, c.keys, c.during
)
insert into poller.attempt (handler_id, key, state, attempt, next_at, visit)
select g.handler_id, k.key, 'waiting', 0, poller.now(), g.lease
  from given_up as g, unnest(g.keys) as k (key)
 where g.during is not null
 order by k.key
    on conflict do nothing
