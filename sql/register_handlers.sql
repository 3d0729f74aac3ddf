-- Purpose  Number the handlers that have none yet: one row for each (table, status).
-- Locks    poller.handler: new rows only, in one order; a known pair is not even locked.
-- Fence    the unique key.
-- Index    handler's unique key.
insert into poller.handler (table_name, status)
select w.table_name, w.status
  from unnest(%(tables)s::text[], %(statuses)s::text[]) as w (table_name, status)
 where not exists (select from poller.handler as h
                    where h.table_name = w.table_name and h.status = w.status)
 order by 1, 2
    on conflict do nothing
