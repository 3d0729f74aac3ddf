-- Purpose  Lock those rows of a settle that no other transaction has locked: a part of settle.sql, where rows are settled
--          apart since one of them may be held by a person's open transaction. The others must not wait for it.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits for one.
-- Fence    as settle.sql, of which this is a part.
-- Index    the primary key of the user's table.
select o.poller_key
  from outcome as o
  join {table} as t on {is_outcome}
 where {as_users}
   and o.is_held
   and o.to_status is not null
   for no key update of t skip locked
