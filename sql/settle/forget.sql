-- Purpose  Forget rows that stray_attempts.sql has found and locked, if they still are strays and no worker holds
--          them. When such a row shows the handler's status again, that is a new visit.
-- Locks    poller.attempt: those rows, which this transaction has locked.
-- Fence    the second look: this statement's snapshot is newer than those locks, and a claim of a retry needs them.
-- Index    attempt_key; claim_handler; the primary key of the user's table.
delete from poller.attempt as a
 where {users}
   and a.handler_id = %(handler)s
   and poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key)))
   and a.key not in (
         select k.key from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = %(handler)s)
   and not coalesce(
       (select coalesce({shows_own}, false) from {table} as t where {is_known} limit 1),
       row_security_active({table_oid}::oid))
