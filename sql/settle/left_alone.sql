-- Purpose  Count the rows that a drain leaves alone: those that are parked, and those that are snoozed.
-- Locks    none.  Fence  none.
-- Index    attempt_key: rows in trouble only.
select count(*) filter (where a.state = 'parked') as parked,
       count(*) filter (where a.state = 'snoozed') as snoozed
  from poller.attempt as a
 where a.handler_id = any(%(handlers)s::integer[])
