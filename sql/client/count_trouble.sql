-- Purpose  Count the next so many rows in trouble of a handler that are in one state, and say where they end. Asked
--          again and again, it counts them all: no statement goes through more.
-- Locks    none.
-- Fence    none: read-only.
-- Index    attempt_latest.
with looked as materialized (
    select a.changed_at, poller.digest(a.key) as digest
      from poller.attempt as a
     where a.handler_id = %(handler)s and a.state = %(state)s
       and (a.changed_at, poller.digest(a.key)) > (%(changed_at)s::timestamptz, %(digest)s::text)
     order by a.changed_at, poller.digest(a.key)
     limit %(most)s
)
select (select count(*) from looked) as rows, l.changed_at::text, l.digest
  from looked as l
 order by l.changed_at desc, l.digest desc
 limit 1
