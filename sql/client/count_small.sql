-- Purpose  Count the rows of a user's table by status, with the oldest of each, if it has no more than so many: `looked`
--          says how many were looked at.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none needed: it stops at its limit.
select s.status, count(*) as rows, (sum(count(*)) over ())::bigint as looked {oldest}
  from (select t.{status}::text as status {ages} from {table} as t where {users} limit %(most)s) as s
 group by 1
