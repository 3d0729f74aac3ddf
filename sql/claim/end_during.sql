-- Purpose  Take rows back from a handler's `during` that no worker holds: they wait for an attempt, since their leases were given up
--          while the table was away.
-- Locks    the user's rows, which this transaction has locked (lock_shown.sql).
-- Fence    the second look: this statement's snapshot is newer than those locks, so that it sees each claim that came before
--          them, of any handler of the table.
-- Index    the primary key of the user's table; claim_handler.
-- The path is the users' before the UPDATE begins, as in show_during.sql.
with restored as (
    update {table} as t
       set {status} = {from_status}::{status_type}
      from unnest(%(keys)s::text[]) as o (poller_key)
     where {is_own}
       and {shows_during}
       and o.poller_key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = any (array(select h.id from poller.handler as h where {has_its_rows})))
    returning o.poller_key
)
select poller_key from restored where {as_users}
