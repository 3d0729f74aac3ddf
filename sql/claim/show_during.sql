-- Purpose  Show in the rows of a claim that they are being worked on (a handler's `during`), and fetch them as
--          they stand then: a trigger of the user's may have set more (a version, a time).
-- Locks    the user's rows, which the claim has locked already in this transaction.
-- Fence    the claim written before it in the same transaction.
-- Index    the primary key of the user's table.
-- Returns  the rows as look.sql does. One that is missing was not updated: a trigger or rule swallowed it.
-- The path is the users' before the UPDATE begins, whose triggers before the statement would otherwise come first.
with shown as (
    update {table} as t
       set {status} = {during}
      from unnest(%(keys)s::text[]) as o (poller_key)
     where {as_users}
       and {is_own}
    returning {key} as "~key", {columns}
)
select * from shown where {as_users}
