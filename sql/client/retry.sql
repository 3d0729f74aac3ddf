-- Purpose  Put rows in trouble back: due at once, none of their attempts counted. What must stay the same over
--          attempts stays: visit, the idempotency key. Snoozed rows are put back only where they are named. It is an event
--          of each row's history.
-- Locks    poller.attempt: those rows, SKIP LOCKED: one that is being settled now is not in need of it.
-- Fence    rows in flight are left out: their own settling decides.
-- Index    attempt_key.
with chosen as materialized (
    select a.handler_id, a.key, a.attempt
      from poller.attempt as a
     where a.handler_id = any(%(handlers)s::integer[])
       and (poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key)))
            or %(keys)s::text[] is null and a.state <> 'snoozed')
       and (a.handler_id, a.key) not in (
             select c.handler_id, k.key from poller.claim as c cross join unnest(c.keys) as k (key))
     order by a.handler_id, a.key
       for update skip locked
), recorded as (
    insert into poller.event (handler_id, key, verdict, from_status, attempt, lease)
    select chosen.handler_id, chosen.key, 'retried', h.status, chosen.attempt, gen_random_uuid()
      from chosen
      join poller.handler as h on h.id = chosen.handler_id
)
update poller.attempt as a
   set state = 'waiting', attempt = 0, crashes = 0, company = 0,
       next_at = poller.now(), first_at = poller.now(), changed_at = poller.now()
  from chosen
 where a.handler_id = chosen.handler_id and poller.digest(a.key) = poller.digest(chosen.key)
returning a.handler_id, a.key
