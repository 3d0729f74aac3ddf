-- Purpose  Make living workers end once they hold nothing: one by its number, or those of a host. They claim nothing
--          more from this commit on, and learn of it by the notification, or by their next heartbeat. Returns each that
--          was not draining yet.
-- Locks    poller.worker: those rows, in the order of their numbers.
-- Fence    the claims' own: poller.take and retake.sql see it.
-- Index    none: one row a worker.
with chosen as materialized (
    select w.id
      from poller.worker as w
     where w.died_at is null and w.heartbeat_at + w.lease >= poller.now() and (w.host = %(name)s or w.id::text = %(name)s)
     order by w.id
       for no key update
), told as (
    update poller.worker as w
       set drain_at = coalesce(w.drain_at, poller.now())
      from chosen as c
     where w.id = c.id
    returning w.id, w.host, w.pid,
              coalesce((select sum(cardinality(c.keys)) from poller.claim as c where c.worker_id = w.id), 0)::integer as in_flight
)
select told.*, pg_notify('poller', 'drain') from told order by told.id
