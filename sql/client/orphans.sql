-- Purpose  Count the rows that show a handler's `during` though no worker holds them: no handler would take them.
-- Locks    none.
-- Fence    one statement, one snapshot: a claim and its `during` are committed together.
-- Index    none needed: rows in `during` are few; without an index on the status it reads the table.
select count(*)
  from {table} as t
 where {users}
   and {shows_during}
   and {key_columns} not in (
         select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = {handler})
