-- Purpose  Ask whether a handler has a due row that this role may change, when no worker takes any: none though some are due
--          says that row security keeps all of them from it. An error (55P03): another transaction has one locked.
-- Locks    one row of the user's table, FOR NO KEY UPDATE NOWAIT, until the statement ends.
-- Fence    none: nothing is changed.
-- Index    as peek.sql.
select true from {table} as t
 where {due}
   and {key_columns} not in (
         select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = {handler})
   and (select true from poller.attempt as a
         where a.handler_id = {handler} and poller.digest(a.key) = poller.digest({key}) limit 1) is null
 order by {key_order}
 limit 1
   for no key update of t nowait
