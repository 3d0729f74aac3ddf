-- Purpose  Count the rows that a person's order has left because another transaction has them locked, a thousand at
--          most.
-- Locks    none.  Fence  none: read-only.
-- Index    as move_look.sql and move_keys.sql.
select count(*)
  from (select from {table} as t
         where {users}
           and {is_asked}
           and ({shows_from})
         limit 1000) as l
