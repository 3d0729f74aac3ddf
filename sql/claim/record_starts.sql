-- Purpose  Write down until when rows of a handler with a rate begin, and forget what its window has left behind.
-- Locks    poller.start: a new row, and the old ones of this handler.
-- Fence    the lock of claim_alone.sql.
-- Index    start_at.
-- Rows begin within the slack from now on, or are given back. So those that begin within any window are at most those that
-- the last claim among them has counted, and its own: each of the others may have begun as late as `at`.
with forgotten as (
    delete from poller.start as s
     where s.handler_id = %(handler)s
       and s.at < poller.now() - make_interval(secs => 2 * %(window)s)
)
insert into poller.start (handler_id, rows, at)
values (%(handler)s, %(rows)s, poller.now() + make_interval(secs => %(slack)s))
