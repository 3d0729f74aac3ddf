-- Purpose  Restore the status that a handler's `during` had replaced, on rows whose lease was taken away.
-- Locks    the user's rows.
-- Fence    release.sql, earlier in the same transaction: no other session writes these rows for poller.
-- CAS      only a row that still shows `during` is changed.
-- Index    the primary key of the user's table.
-- The path is the users' before the UPDATE begins, whose triggers before the statement would otherwise come first.
with restored as (
    update {table} as t
       set {status} = {from_status}
      from unnest(%(keys)s::text[]) as o (poller_key)
     where {as_users}
       and {is_own}
       and {shows_during}
    returning 1
)
select count(*) from restored where {as_users}
