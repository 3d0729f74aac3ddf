-- Purpose  Number the handlers: one row for each (table, status), found again by every later worker.
-- Locks    poller.handler: new rows only, in the order given; a known pair is not even locked.
-- Fence    the unique key.
-- Index    handler's unique key.
with wanted as (
    select * from unnest(%(tables)s::text[], %(statuses)s::text[]) as w (table_name, status)
), fresh as (
    insert into poller.handler (table_name, status)
    select table_name, status from wanted as w
     where not exists (select from poller.handler as h
                        where h.table_name = w.table_name and h.status = w.status)
     order by 1, 2
        on conflict do nothing
    returning id, table_name, status
)
select id, table_name, status from fresh
 union all
select h.id, h.table_name, h.status from poller.handler as h join wanted using (table_name, status)
