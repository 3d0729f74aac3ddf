-- Purpose  Read the numbers of handlers. Apart from their registration, since that statement's snapshot does
--          not see a number that another process has given at the same time.
-- Locks    none.  Fence  none.
-- Index    handler's unique key.
select h.id, h.table_name, h.status_column, h.status
  from poller.handler as h
  join unnest(%(tables)s::text[], %(columns)s::text[], %(statuses)s::text[])
    as w (table_name, status_column, status) using (table_name, status_column, status)
