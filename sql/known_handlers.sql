-- Purpose  List every (table, status) that ever had a handler, with its number: what a selector is held against.
-- Locks    none.
-- Fence    none: a row, once there, stays as it is.
-- Index    none: one row a handler.
select id, table_name, status
  from poller.handler
 order by table_name, status
