-- Purpose  Give rows with some keys another status on a person's order, forget what handlers remember of them, and record
--          it.
-- Locks    1. the user's rows, SKIP LOCKED: one that another transaction has is left; 2. attempts. No claim is touched.
-- Fence    what is in flight keeps its lease, and its outcome finds another status: superseded.
-- CAS      the row still shows the status that it is moved from, under its lock.
-- Index    the primary key of the user's table, a probe for each key; attempt_key.
-- Returns  how many were moved; the keys whose rows could not be locked, or show another status by then; and those whose
--          UPDATE a trigger has swallowed.
-- Raises   what poller.refuse_status does, if a trigger of the table's gave a row another status than it was to move to.
-- A status that was not set is an empty text in the history.
-- The path is the users' before the UPDATE begins, whose triggers before the statement would otherwise come first.
with "~look" as materialized (
    select k.key as "~asked", r.*
      from unnest(%(keys)s::text[]) as k (key)
     cross join lateral (
           select {key} as "~key", coalesce(t.{status}::text, '') as "~from"
             from {table} as t
            where {users}
              and {is_asked}
              and ({shows_from})
            limit 1
              for no key update of t skip locked) as r
), "~moved" as (
    update {table} as t
       set {status} = {to_status}::{status_type}
      from "~look" as o
     where {as_users}
       and {is_own}
    returning o."~key", o."~from", case when {strays} then poller.refuse_status(t.{status}::text) end
), "~known" as materialized (
    select h.id, h.status, h.table_name = {table_name} as is_own
      from poller.handler as h
     where {has_its_rows} and h.status_column = {status_column}
), "~forgotten" as (
    delete from poller.attempt as a
     where a.handler_id = any (array(select k.id from "~known" as k))
       and poller.digest(a.key) = any (array(select poller.digest(m."~key") from "~moved" as m))
), "~told" as materialized (
    select m.*, (select min(k.id) from "~known" as k where k.is_own and {is_from}) as "~handler" from "~moved" as m
), "~recorded" as (
    insert into poller.event (handler_id, key, verdict, from_status, to_status, attempt, lease)
    select coalesce(o."~handler", (select min(k.id) from "~known" as k where k.is_own and {is_to}),
                    (select min(k.id) from "~known" as k where k.is_own)),
           o."~key", 'moved by hand', o."~from", {to_status},
           coalesce((select a.attempt from poller.attempt as a
                      where a.handler_id = o."~handler" and poller.digest(a.key) = poller.digest(o."~key") limit 1), 0),
           gen_random_uuid()
      from "~told" as o
)
select (select count(*) from "~moved")::integer as rows,
       array(select k.key from unnest(%(keys)s::text[]) as k (key) where k.key not in (select o."~asked" from "~look" as o)) as left,
       array(select o."~asked" from "~look" as o where o."~key" not in (select m."~key" from "~moved" as m)) as swallowed
