-- Purpose  Fetch rows that a claim has locked and leased by their keys alone: one of them could not be read.
-- Locks    none.
-- Fence    the claim, written in the same transaction.
-- Index    the primary key of the user's table.
select {key} as "~key", {columns}
  from unnest(%(keys)s::text[]) as o (poller_key)
  join {table} as t on {is_own}
 where {users}
