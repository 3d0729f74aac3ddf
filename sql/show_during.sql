-- Purpose  Show in the rows of a claim that they are being worked on (a handler's `during`).
-- Locks    the user's rows, which claim.sql has locked already in this transaction.
-- Fence    the claim written before it in the same transaction.
-- Index    the primary key of the user's table.
update {table} as t
   set {status} = {during}
  from unnest(%(keys)s::text[]) as o (poller_key)
 where {key_columns} = {own_columns}
