-- Purpose  List every (table, status) that ever had a handler, with its column and its number: selectors are checked
--          against these.
-- Locks    none.
-- Fence    none: a row never changes, except for a renamed status column.
-- Index    none: one row a handler.
select id, table_name as "table", status, status_column as "column"
  from poller.handler
 order by table_name, status, status_column
