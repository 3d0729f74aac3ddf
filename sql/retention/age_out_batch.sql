-- Purpose  Give some rows another status, if they are still old, still have the ageing status, no session has them
--          locked and no handler holds them.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits for a row. Triggers may wait, up to
--          lock_timeout.
-- Fence    the whole condition is checked again under the row's lock; handlers' holds by poller.in_hand, whose
--          snapshot is newer than the lock.
-- CAS      only a row that still has the status is changed.
-- Visits   what handlers of the two statuses knew of a row ends with its move (forget_moved.sql).
-- Index    the primary key of the user's table; attempt_key.
with "~listed" as materialized (
    select o."~key"
      from unnest(%(keys)s::text[]) as o ("~key")
      join {table} as t on {is_asked}
     where {as_users}
       and {due}
), "~locked" as materialized (
    select "~listed"."~key"
      from "~listed"
      join {table} as t on {is_listed}
     where {due}
       for no key update of t skip locked
), "~held" as materialized (
    select {in_hand} as "~keys" from (select array_agg("~locked"."~key") as "~keys" from "~locked") as a
), "~moved" as (
    update {table} as t
       set {status} = {to_status}
      from "~locked"
     where {is_locked}
       and {ages}
       and "~locked"."~key" not in (select unnest("~held"."~keys") from "~held")
    returning "~locked"."~key"
){forgotten}
select (select count(*) from "~listed") as free,
       (select count(*) from "~locked") as locked,
       (select count(*) from "~moved") as done,
       (select coalesce(sum(cardinality("~held"."~keys")), 0) from "~held")::integer as held,
       '{{}}'::jsonb as needed
