-- Purpose  Park a row that waits for an attempt and whose way back from its handler's `during` the table refuses: it would wait for
--          ever, and nobody be told.
-- Locks    poller.attempt: that row, which this transaction has locked (lock_retries.sql).
-- Fence    that lock.
-- Index    attempt_key.
update poller.attempt as a
   set state = 'parked', error = %(error)s, kind = null, place = null, traceback = null, changed_at = poller.now()
 where a.handler_id = %(handler)s
   and poller.digest(a.key) = poller.digest(%(key)s::text)
   and a.key = %(key)s
   and a.state = 'waiting'
returning a.attempt
