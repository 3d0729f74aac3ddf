-- Purpose  Of the first so many rows that show a handler's status, count those that are due and not in flight, and find
--          since when the first of them is. Parked rows, and rows whose next attempt is later, do not count.
-- Locks    none.
-- Fence    none: read-only.
-- Index    as first_of_status.sql; attempt_key, a probe for each of them.
-- `written` is how many transactions ago the first of them was.
-- Names begin with ~, so that a handler's `where` cannot mean them.
with "~first" as materialized (
    {first}
), "~due" as (
    select case when r."~state" is null then ({age})::timestamptz else r."~next_at" end as at,
           case when r."~state" is null then age(t."~xmin") end as written
      from "~first" as t
      left join lateral (
           select a.state, a.next_at from poller.attempt as a
            where a.handler_id = {handler} and poller.digest(a.key) = poller.digest({key}) limit 1
           ) as r ("~state", "~next_at") on true
     where {due}
       and (r."~state" is null or r."~state" <> 'parked' and r."~next_at" <= poller.now())
       and {key_columns} not in (
             select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = {handler})
)
select (select count(*) from "~first") as looked, count(*) as due, min(d.at) filter (where isfinite(d.at)) as oldest,
       max(d.written) as written
  from "~due" as d
