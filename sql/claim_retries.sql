-- Purpose  Fetch and lock rows whose next attempt is due: the first look of a claim of rows in trouble.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: never waits. Until the transaction ends.
-- Fence    none yet; retake.sql looks again, in the same transaction.
-- Index    attempt_next; the primary key of the user's table.
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
), retry ("~key") as materialized (
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
     limit %(limit)s
)
select {key} as "~key", {columns}
  from retry
  join {table} as t on {key_columns} = {retry_columns}
 where {due}
   for no key update of t skip locked
