-- Purpose  Give some rows another status, if they are still old, still have the one that ages, and nobody holds them.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits for a row. Triggers may wait, up to
--          lock_timeout.
-- Fence    the whole condition is looked at again under the row's lock.
-- CAS      only a row that still has the status is changed.
-- Index    the primary key of the user's table.
with "~listed" as materialized (
    select o."~key"
      from unnest(%(keys)s::text[]) as o ("~key")
      join {table} as t on {key_columns} = {asked_columns}
     where {due}
), "~locked" as materialized (
    select "~listed"."~key"
      from "~listed"
      join {table} as t on {key_columns} = {listed_columns}
     where {due}
       for no key update of t skip locked
), "~moved" as (
    update {table} as t
       set {status} = {to_status}
      from "~locked"
     where {key_columns} = {locked_columns}
       and t.{status} = {from_status}
    returning 1 as "~one"
)
select (select count(*) from "~listed") as free,
       (select count(*) from "~locked") as locked,
       (select count(*) from "~moved") as done,
       '{{}}'::jsonb as needed
