-- Purpose  Lock the poller.attempt rows of retries that tidy_retries.sql has found, so that no worker claims them.
-- Locks    poller.attempt: those rows, FOR UPDATE SKIP LOCKED: never waits for a row. Until the transaction ends; a
--          session that is stopped meanwhile loses them after 5 s.
-- Fence    none yet: put_off_retries.sql looks again. A claim of a retry locks them FOR KEY SHARE (retake.sql): if it was first,
--          the row is skipped here; if it comes later, it skips the row; if it has committed, its claim is seen then.
-- Index    attempt_key.
select a.key, set_config('idle_in_transaction_session_timeout', '5s', true)
  from poller.attempt as a
 where a.handler_id = %(handler)s
   and poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key)))
   for update of a skip locked
