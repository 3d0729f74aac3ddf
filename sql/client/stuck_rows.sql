-- Purpose  List those of some rows that show their handler's `during` though no worker holds them.
-- Locks    none.
-- Fence    as restore_retried.sql, which looks again.
-- Index    the primary key of the user's table; claim_handler.
select o.poller_key
  from unnest(%(keys)s::text[]) as o (poller_key)
  join {table} as t on {is_own}
 where {users}
   and {shows_during}
   and o.poller_key not in (
         select k.key from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = any (array(select h.id from poller.handler as h where {has_its_rows})))
