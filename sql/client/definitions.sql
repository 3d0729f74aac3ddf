-- Purpose  List the handlers with their definitions, as their code was when a worker last registered them.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: one row a handler.
select h.table_name, h.status_column, h.status, h.definition
  from poller.handler as h
 where h.table_name <> 'poller.run'
 order by h.table_name, h.status_column, h.id
