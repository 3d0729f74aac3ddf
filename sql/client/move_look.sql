-- Purpose  Lock the next rows that show one of some statuses, in the order of the key: a part of move.sql.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED, in that order.
-- Fence    as move.sql.
-- Index    on the user's table: (key columns) where status = …; else its primary key, from the last key on.
select l.*, row_number() over () as "~place"
  from (select {key} as "~key", t.{status}::text as "~from"
          from {table} as t
         where {users}
           and ({shows_from})
           and {after}
         order by {key_order}
         limit %(limit)s
           for no key update of t skip locked) as l
