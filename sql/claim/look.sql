-- Purpose  Fetch and lock the next due rows that no worker holds: the first look of a claim, a part of claim.sql.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits.
-- Fence    none yet: this statement's snapshot may be older than the commit that freed a row; see claim.sql.
-- Index    on the user's table: (key columns) where status = …; on poller.attempt attempt_key.
-- A lease whose keys are in the order of the key (`sorted`), and whose last one is not past `after`, is not looked into.
-- Not all are: a program that is being replaced may have the handler with another `order_by`.
-- ~key is not a name that a handler's `where` or `order_by` could mean.
-- Both exclusions are written so that no plan can be bad: NOT IN over few keys is a hashed subplan, and
-- the scalar subquery over many is one index probe for each row looked at, unless the handler has none in trouble.
select {key} as "~key", {columns}
  from {table} as t
 where {due} and {is_keyed}
   and {after}
   and {key_columns} not in (
         select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = %(handler)s and (not c.sorted or {lease_after}) and {claimed_after})
   and (not exists (select from poller.attempt as a where a.handler_id = %(handler)s)
        or (select true from poller.attempt as a
             where a.handler_id = %(handler)s and poller.digest(a.key) = poller.digest({key}) limit 1) is null)
 order by {order}
 limit %(limit)s
   for no key update of t skip locked
