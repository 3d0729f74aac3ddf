-- Purpose  Write down that rows of a handler with a rate are begun, and forget what its window has left behind.
-- Locks    poller.start: a new row, and the old ones of this handler.
-- Fence    the lock of claim_alone.sql.
-- Index    start_at.
with forgotten as (
    delete from poller.start as s
     where s.handler_id = %(handler)s
       and s.at < poller.now() - make_interval(secs => 2 * %(window)s)
)
insert into poller.start (handler_id, rows) values (%(handler)s, %(rows)s)
