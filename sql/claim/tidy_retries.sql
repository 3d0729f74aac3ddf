-- Purpose  List the keys of retries that are due and cannot be taken, since their row is not due for now (`where`, `due`), shows
--          another status or is gone: they would hide others. Whether a visit has ended is found out by stray_attempts.sql.
-- Locks    none.
-- Fence    none: lock_retries.sql locks what is remembered of them, and put_off_retries.sql looks again. A claim, a settle or an
--          order to retry that is committed after this snapshot is not seen here.
-- Index    attempt_next; claim_handler; the primary key of the user's table.
with "~due" as materialized (
    select a.key as "~key"
      from poller.attempt as a
     where {users}
       and a.handler_id = %(handler)s and a.state <> 'parked' and a.next_at <= poller.now()
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
     order by a.next_at
     limit 1000
)
select d."~key"
  from "~due" as d
 where not coalesce((select {due} from {table} as t where {is_listed} limit 1), false)
