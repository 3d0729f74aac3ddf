-- Purpose  Delete some rows, if they are still old, no session has them locked, no handler holds them, and no foreign
--          key needs them.
-- Locks    the user's rows, FOR UPDATE SKIP LOCKED: never waits for a row. What the DELETE causes (cascades,
--          triggers) may wait, up to lock_timeout.
-- Fence    the whole condition is checked again under the row's lock; handlers' holds by poller.in_hand, whose
--          snapshot is newer than the lock.
-- Index    the primary key of the user's table; on a table that refers to it, the referring columns.
with "~listed" as materialized (
    select o."~key", {needed} as "~needed"
      from unnest(%(keys)s::text[]) as o ("~key")
      join {table} as t on {is_asked}
     where {as_users}
       and {due}
), "~locked" as materialized (
    select "~listed"."~key"
      from "~listed"
      join {table} as t on {is_listed}
     where "~listed"."~needed" is null and {due}
       for update of t skip locked
), "~held" as materialized (
    select {in_hand} as "~keys" from (select array_agg("~locked"."~key") as "~keys" from "~locked") as a
), "~gone" as (
    delete from {table} as t
     using "~locked"
     where {is_locked}
       and "~locked"."~key" not in (select unnest("~held"."~keys") from "~held")
    returning 1 as "~one"
)
select (select count(*) from "~listed" where "~needed" is null) as free,
       (select count(*) from "~locked") as locked,
       (select count(*) from "~gone") as done,
       (select coalesce(sum(cardinality("~held"."~keys")), 0) from "~held")::integer as held,
       (select coalesce(jsonb_object_agg(n."~needed", n.rows), '{{}}')
          from (select "~needed", count(*) as rows from "~listed" where "~needed" is not null group by 1) as n) as needed
