-- Purpose  Make workers end once they hold nothing: one by its number, or those of a host. They claim nothing more from this
--          commit on, and learn of it by the notification, or by their next heartbeat. Those of a host that were declared dead
--          may be there still, stopped or cut off: if one comes back, it drains (register_worker.sql). Returns those that
--          have not been declared dead.
-- Locks    the table was locked before (lock_registrations.sql); poller.worker: those rows, in the order of their numbers.
-- Fence    the claims' own: poller.take and retake.sql see it.
-- Index    none: one row a worker.
with chosen as materialized (
    select w.id
      from poller.worker as w
     where w.id::text = %(number)s::text and w.died_at is null or w.host = %(host)s::text
     order by w.id
       for no key update
), told as (
    update poller.worker as w
       set drain_at = coalesce(w.drain_at, poller.now())
      from chosen as c
     where w.id = c.id
    returning w.id, w.host, w.pid, w.died_at,
              coalesce((select sum(cardinality(c.keys)) from poller.claim as c where c.worker_id = w.id), 0)::integer as in_flight,
              w.heartbeat_at + w.lease < poller.now() as has_lapsed
), living as materialized (
    select t.id, t.host, t.pid, t.in_flight, t.has_lapsed from told as t where t.died_at is null
)
select l.*, pg_notify('poller', 'drain') from living as l order by l.id
