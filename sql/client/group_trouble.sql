-- Purpose  Group the next so many rows in trouble of some handlers, in one state each, by their cause, and say where each
--          handler's end. Asked again and again, it groups them all: no statement goes through more.
-- Locks    none.
-- Fence    none: read-only.
-- Index    attempt_latest, once for each handler and state.
-- An older version of poller writes no class: it is what the text begins with.
with looked as materialized (
    select b.at, a.*
      from unnest(%(handlers)s::integer[], %(states)s::text[], %(changed_at)s::timestamptz[], %(digests)s::text[])
           with ordinality as b (handler_id, state, changed_at, digest, at)
     cross join lateral (
        select a.key, a.error, a.kind, a.place, a.first_at, a.changed_at, poller.digest(a.key) as digest
          from poller.attempt as a
         where a.handler_id = b.handler_id and a.state = b.state
           and (a.changed_at, poller.digest(a.key)) > (b.changed_at, b.digest collate "C")
         order by a.changed_at, poller.digest(a.key)
         limit %(most)s) as a
     limit %(most)s
), cause as (
    select l.at, coalesce(l.kind, substring(l.error from '^\w+(?=: )'), left(l.error, 200)) as kind,
           coalesce(l.place, '') as place, count(*) as rows, min(l.first_at) as first_at, max(l.changed_at) as last_at,
           (array_agg(l.key order by l.changed_at desc, l.digest desc))[1] as example_key,
           (array_agg(l.error order by l.changed_at desc, l.digest desc))[1] as example
      from looked as l
     where l.error is not null
     group by 1, 2, 3
), ends as (
    select distinct on (l.at) l.at, count(*) over (partition by l.at) as looked, l.changed_at::text, l.digest
      from looked as l
     order by l.at, l.changed_at desc, l.digest desc
)
select e.at::integer - 1 as at, e.looked, e.changed_at, e.digest,
       c.kind, c.place, c.rows, c.first_at, c.last_at, c.example_key, c.example
  from ends as e
  left join cause as c on c.at = e.at
