-- Purpose  Count the rows that have failed and get no other attempt for now: they are on hold (`where`, `due`), gone or elsewhere.
-- Locks    none.  Fence  none.
-- Index    attempt_next; the primary key of the user's table.
select count(*)
  from poller.attempt as a
 where a.handler_id = {handler} and a.state = 'waiting'
   and not coalesce((select {due} from {table} as t where {is_known} limit 1), false)
