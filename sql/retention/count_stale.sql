-- Purpose  Count the rows that are old, and those of them that a foreign key needs, by its name.
-- Locks    none.  Fence  none.
-- Index    on the user's table, one that begins with the column; without it the table is read.
select coalesce(sum(n.rows), 0)::bigint as rows,
       coalesce(jsonb_object_agg(n."~needed", n.rows) filter (where n."~needed" is not null), '{{}}') as needed
  from (select {needed} as "~needed", count(*) as rows from {table} as t where {users} and {due} group by 1) as n
