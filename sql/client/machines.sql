-- Purpose  List the handlers of a table with all the statuses that they take, show or lead to, as far as registered.
-- Locks    none.  Fence  none: read-only.
-- Index    handler's unique key.
select h.id, h.status_column, h.status, h.definition ->> 'during' as during,
       array_remove(array[h.status, h.definition ->> 'during', h.definition ->> 'on_failure']
                    || array(select jsonb_array_elements_text(h.definition -> 'to')), null) as statuses
  from poller.handler as h
 where h.table_name = %(table)s
 order by h.id
