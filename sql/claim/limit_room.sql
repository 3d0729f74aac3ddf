-- Purpose  Count how many more rows of a handler may be claimed now, by its limit and its rate.
-- Locks    none.
-- Fence    the lock of claim_alone.sql: no other worker claims such rows before this transaction has ended.
-- Index    claim_handler; start_at.
-- Returns  how many the limit leaves, how many the rate leaves (null without one); the seconds until a row that
--          was begun leaves the window.
with started as materialized (
    select coalesce(sum(s.rows), 0) as rows,
           extract(epoch from min(s.at) - poller.now())::float8 + %(window)s as next_in
      from poller.start as s
     where s.handler_id = %(handler)s
       and s.at > poller.now() - make_interval(secs => %(window)s)
)
select %(limit)s::bigint
       - (select coalesce(sum(cardinality(c.keys)), 0) from poller.claim as c where c.handler_id = %(handler)s),
       %(rate)s::bigint - started.rows,
       started.next_in
  from started
