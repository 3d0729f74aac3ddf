-- Purpose  List those of the rows that were looked for which come to a number of bytes, in their order, and the first whatever
--          its size: a part of claim.sql and claim_retries.sql. One row may be as large as a thousand others.
-- Locks    none.  Fence  none.  Index  none.
-- No value is read for that: Postgres knows the length of a text or bytea that is stored elsewhere or compressed; of other
-- types, only what is stored, and whether that is compressed.
select s.key, s.total
  from (select looked.key, {size} as size, sum({size}) over (rows unbounded preceding) as total from looked) as s
 where s.total <= %(bytes)s or s.total = s.size
