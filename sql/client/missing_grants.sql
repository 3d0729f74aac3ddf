-- Purpose  List the rights on poller's own tables that a worker needs and the current role lacks.
-- Locks    none.
-- Fence    none: advice.
-- Index    none.
select n.table_name, string_agg(n.privilege, ', ' order by n.place) as privileges
  from (values ('handler', 'select', 1), ('handler', 'insert', 2), ('handler', 'update', 3), ('history', 'select', 1), ('counted', 'select', 1), ('total', 'select', 1), ('run_total', 'select', 1), ('row_total', 'select', 1), ('row_total', 'insert', 2), ('row_total', 'update', 3)
         union all
        select t.table_name, p.*
          from unnest(array['worker', 'session', 'claim', 'attempt', 'event', 'move', 'tally', 'job', 'run', 'start', 'planner', 'action', 'gauge',
                          'watched', 'turn', 'signal', 'episode', 'notice', 'message', 'message_total', 'silence'])
            as t (table_name),
               (values ('select', 1), ('insert', 2), ('update', 3), ('delete', 4)) as p
       ) as n (table_name, privilege, place)
  join pg_namespace as s on s.nspname = 'poller'
  join pg_class as c on c.relnamespace = s.oid and c.relname = n.table_name
 where not has_table_privilege(c.oid, n.privilege)
 group by n.table_name
 order by n.table_name
