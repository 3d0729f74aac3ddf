-- Purpose  List what the role that asks is not allowed on poller's own tables, though a worker needs it.
-- Locks    none.
-- Fence    none: advice.
-- Index    none.
select n.table_name, string_agg(n.privilege, ', ' order by n.place) as privileges
  from (values ('handler', 'select', 1), ('handler', 'insert', 2),
               ('history', 'insert', 2),
               ('tally', 'select', 1), ('tally', 'insert', 2), ('tally', 'update', 3),
               ('worker', 'select', 1), ('worker', 'insert', 2), ('worker', 'update', 3),
               ('worker', 'delete', 4),
               ('session', 'select', 1), ('session', 'insert', 2), ('session', 'update', 3),
               ('session', 'delete', 4),
               ('claim', 'select', 1), ('claim', 'insert', 2), ('claim', 'update', 3),
               ('claim', 'delete', 4),
               ('attempt', 'select', 1), ('attempt', 'insert', 2), ('attempt', 'update', 3),
               ('attempt', 'delete', 4)) as n (table_name, privilege, place)
 where not has_table_privilege('poller.' || n.table_name, n.privilege)
 group by n.table_name
 order by n.table_name
