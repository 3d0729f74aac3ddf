-- Purpose  Ask whether any row waits for another attempt that it will get: one that is on hold (`where`, `due`), gone or elsewhere is
--          due only once somebody changes it.
-- Locks    none.  Fence  none: a row that is changed afterwards is as one that comes afterwards.
-- Index    attempt_next; the primary key of the user's table. It ends at the first row found.
select exists (
    select from poller.attempt as a
     where a.handler_id = {handler} and a.state = 'waiting'
       and coalesce((select {due} from {table} as t where {is_known} limit 1), false))
