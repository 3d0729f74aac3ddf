-- Purpose  List the handlers with what their code says of them, as it was when a worker registered them last.
-- Locks    none.
-- Fence    none: to be looked at.
-- Index    none: one row a handler.
select h.table_name, h.status_column, h.status, h.definition
  from poller.handler as h
 where h.table_name <> 'poller.run'
 order by h.table_name, h.status_column, h.id
