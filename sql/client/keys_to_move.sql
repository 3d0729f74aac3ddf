-- Purpose  Find the keys of rows that show one of some statuses among the next so many rows of a user's table: a page of a
--          person's order. Where an index finds the rows of the status, only those are gone through (`among`).
-- Locks    none.
-- Fence    none: move.sql looks again, under each row's lock.
-- Index    on the user's table: (status, key columns), or (key columns) where status = …; else its primary key, from the last
--          key on (along_indexes.sql).
-- Returns  the keys, and the last that was looked at; null if no page follows.
with "~page" as materialized (
    select l.*, row_number() over () as "~place"
      from (select {key} as "~key", coalesce(({shows_from}), false) as "~shows"
              from {table} as t
             where {users}
               and {among}
               and {after}
             {order}
             limit %(page)s) as l
)
select array(select p."~key" from "~page" as p where p."~shows" order by p."~place") as keys,
       (select p."~key" from "~page" as p where p."~place" = %(page)s) as last
