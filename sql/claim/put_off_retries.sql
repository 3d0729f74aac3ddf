-- Purpose  Postpone by a minute retries that still cannot be taken and that no worker holds.
-- Locks    poller.attempt: those rows, which this transaction has locked (lock_retries.sql).
-- Fence    the second look: this statement's snapshot is newer than those locks, so that it sees each claim that came before them,
--          what a settle or an order to retry has made of the wait, and the row as it is now.
-- Index    attempt_key; claim_handler; the primary key of the user's table.
update poller.attempt as a
   set next_at = poller.now() + interval '1 minute'
 where {users}
   and a.handler_id = %(handler)s
   and poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key)))
   and a.state <> 'parked'
   and a.next_at <= poller.now()
   and a.key not in (
         select k.key from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = %(handler)s)
   and not coalesce((select {due} from {table} as t where {is_known} limit 1), false)
