-- Purpose  Number the handlers that have none yet: one row for each (table, status column, status). A handler whose column the
--          table has no more, and which no other has come after, is the one that names the column anew: it was renamed.
-- Locks    poller.handler: new rows only, in one order; a known handler is not even locked. One whose column was renamed is, FOR
--          UPDATE, since the column is part of a key: that waits for claims which are just being written.
-- Fence    the unique key. Of two that rename a column in it the second looks again, and finds it done.
-- Index    handler's unique key; the catalogue's own.
with wanted as materialized (
    select *
      from unnest(%(tables)s::text[], %(oids)s::oid[], %(columns)s::text[], %(statuses)s::text[])
        as w (table_name, table_oid, status_column, status)
), unknown as materialized (
    select w.*
      from wanted as w
     where not exists (select from poller.handler as h
                        where h.table_name = w.table_name and h.status = w.status and h.status_column = w.status_column)
), renamed as (
    update poller.handler as h
       set status_column = u.status_column
      from unknown as u
     where h.status_column <> u.status_column
       and h.id = (select max(o.id)
                     from poller.handler as o
                    where o.table_name = u.table_name
                      and o.status = u.status
                      and not exists (select from pg_attribute as a
                                       where a.attrelid = u.table_oid and a.attname = o.status_column
                                         and not a.attisdropped))
    returning h.table_name, h.status, h.status_column
)
insert into poller.handler (table_name, status, status_column)
select u.table_name, u.status, u.status_column
  from unknown as u
 where (u.table_name, u.status, u.status_column) not in (select r.table_name, r.status, r.status_column from renamed as r)
 order by 1, 2, 3
    on conflict do nothing
