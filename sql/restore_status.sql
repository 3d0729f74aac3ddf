-- Purpose  Give rows whose lease was taken away the status back that a handler's `during` had replaced.
-- Locks    the user's rows.
-- Fence    release.sql, before it in the same transaction: nobody else writes these rows for poller.
-- CAS      only a row that still shows `during` is changed.
-- Index    the primary key of the user's table.
update {table} as t
   set {status} = {from_status}
  from unnest(%(keys)s::text[]) as o (poller_key)
 where {as_users}
   and {is_own}
   and {shows_during}
