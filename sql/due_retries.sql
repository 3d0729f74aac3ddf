-- Purpose  List the keys of rows whose next attempt is due and which nobody has: a part of the claims of retries.
-- Locks    none.
-- Fence    none: retake.sql looks again.
-- Index    attempt_next; claim_handler.
-- Rows that may be killing their workers (isolated) are taken one at a time, if at all.
with suspect as materialized (
    select a.key
      from poller.attempt as a
     where %(isolated)s
       and a.handler_id = %(handler)s
       and a.state <> 'parked'
       and a.isolated
       and a.next_at <= poller.now()
       and a.key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s)
     order by a.next_at
     limit 1
)
select a.key
  from poller.attempt as a
 where a.handler_id = %(handler)s
   and a.state <> 'parked'
   and a.next_at <= poller.now()
   and (not a.isolated or a.key = (select key from suspect))
   and a.key not in (
         select k.key from poller.claim as c, unnest(c.keys) as k (key)
          where c.handler_id = %(handler)s)
 order by a.next_at
 limit {most}
