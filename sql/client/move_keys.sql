-- Purpose  Lock rows with some keys that show one of some statuses: a part of move.sql.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED, in the order of the key.
-- Fence    as move.sql.
-- Index    the primary key of the user's table.
select l.*, row_number() over () as "~place"
  from (select {key} as "~key", t.{status}::text as "~from"
          from {table} as t
         where {users}
           and {key_columns} in (select {asked_columns} from unnest(%(keys)s::text[]) as k (key))
           and ({shows_from})
         order by {key_order}
         limit %(limit)s
           for no key update of t skip locked) as l
