-- Purpose  Of the rows that were looked for, list the keys of those that come to a number of bytes, in their order, and the
--          first whatever its size: a part of claim.sql and claim_retries.sql. One row may be as large as a thousand others.
-- Locks    none.  Fence  none.  Index  none.
-- Most often all of them fit, which one sum tells. No value is read for that: Postgres knows the length of a text or bytea that
-- is stored elsewhere or compressed; of other types, only what is stored, and whether that is compressed.
select case when s.total <= %(bytes)s then s.keys
            else (select array_agg(f.key)
                    from (select looked.key, {size} as size, sum({size}) over (rows unbounded preceding) as total
                            from looked) as f
                   where f.total <= %(bytes)s or f.total = f.size)
       end as keys,
       s.total::float8 / cardinality(s.keys) as size,
       cardinality(s.keys) as rows
  from (select array_agg(looked.key) as keys, sum({size}) as total from looked) as s
