-- Purpose  Group the next so many rows in trouble of one handler that are in one state by their cause, and say where
--          they end. Asked again and again, it groups them all: no statement goes through more.
-- Locks    none.
-- Fence    none: read-only.
-- Index    attempt_latest.
-- An older version of poller writes no class: it is what the text begins with.
with looked as materialized (
    select a.key, a.error, a.kind, a.place, a.first_at, a.changed_at, poller.digest(a.key) as digest
      from poller.attempt as a
     where a.handler_id = %(handler)s and a.state = %(state)s
       and (a.changed_at, poller.digest(a.key)) > (%(changed_at)s::timestamptz, %(digest)s::text collate "C")
     order by a.changed_at, poller.digest(a.key)
     limit %(most)s
), cause as (
    select coalesce(l.kind, substring(l.error from '^\w+(?=: )'), left(l.error, 200)) as kind, coalesce(l.place, '') as place,
           count(*) as rows, min(l.first_at) as first_at, max(l.changed_at) as last_at,
           (array_agg(l.key order by l.changed_at desc, l.digest desc))[1] as example_key,
           (array_agg(l.error order by l.changed_at desc, l.digest desc))[1] as example
      from looked as l
     where l.error is not null
     group by 1, 2
), ends as (
    select l.changed_at::text, l.digest from looked as l order by l.changed_at desc, l.digest desc limit 1
)
select (select count(*) from looked) as looked, ends.changed_at, ends.digest, cause.*
  from ends
  left join cause on true
