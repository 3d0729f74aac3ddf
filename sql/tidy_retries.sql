-- Purpose  Clear the way for retries that can be taken: forget attempts whose row is gone or has moved on by
--          another's hand, and look again in a minute at those whose row is not due for now (`where`, `due`).
-- Locks    poller.attempt: due rows of one handler, SKIP LOCKED.
-- Fence    the state is looked at again under the row's lock.
-- Index    attempt_next; the primary key of the user's table.
with "~due" as materialized (
    select a.key as "~key"
      from poller.attempt as a
     where a.handler_id = %(handler)s and a.state <> 'parked' and a.next_at <= poller.now()
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
     order by a.next_at
     limit 1000
       for update skip locked
), "~seen" as materialized (
    select "~due"."~key" as poller_key, ({due}) is true as is_due, {shows_status} as stands
      from "~due"
      left join {table} as t on {is_due}
     where {users}
), "~forgotten" as (
    delete from poller.attempt as a using "~seen"
     where a.handler_id = %(handler)s and poller.digest(a.key) = poller.digest("~seen".poller_key) and "~seen".stands is not true
)
update poller.attempt as a
   set next_at = poller.now() + interval '1 minute'
  from "~seen"
 where a.handler_id = %(handler)s and poller.digest(a.key) = poller.digest("~seen".poller_key) and "~seen".stands and not "~seen".is_due
