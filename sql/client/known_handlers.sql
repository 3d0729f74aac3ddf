-- Purpose  List every (table, status) that ever had a handler, with its column and its number: what a selector is held against.
-- Locks    none.
-- Fence    none: a row, once there, stays as it is, but for a status column that was renamed.
-- Index    none: one row a handler.
select id, table_name as "table", status, status_column as "column"
  from poller.handler
 order by table_name, status, status_column
