-- Purpose  Count the rows that are due and not parked: those that a drain will work on.
-- Locks    none.  Fence  none.
-- Index    on the user's table: (key columns) where status = …; attempt_key.
select count(*)
  from {table} as t
 where {due}
   and (select true from poller.attempt as a
         where a.handler_id = {handler} and poller.digest(a.key) = poller.digest({key}) and a.state = 'parked' limit 1) is null
