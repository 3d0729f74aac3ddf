-- Purpose  Retry the next rows in trouble of a handler, `room` at the most out of so many examined: due at once, their
--          attempts counted from the start. The visit, and so the idempotency key, stays the same. Each row's history gets an event.
-- Locks    poller.attempt: those rows, SKIP LOCKED: a row being settled now needs no retry; one that another order has
--          locked is retried by that, or is `skipped`, to be examined again.
-- Fence    rows in flight are left out: their own settling decides. A row that is due with no attempt counted is left
--          unless it is named, and that is checked under the row's lock: two concurrent orders retry a row once.
-- Index    attempt_key: from the digest `after` on, itself included (the first may be the empty text); or those of the
--          keys.
-- Returns  how many were examined, the last digest, how many were retried, how many could not be locked, if there was
--          room for them, and the keys of those retried.
with looked as materialized (
    {looked}
), held as materialized (
    select k.key
      from poller.claim as c
     cross join unnest(c.keys) as k (key)
     where c.handler_id = %(handler)s
), meant as materialized (
    select poller.digest(a.key) as digest
      from poller.attempt as a
     where a.handler_id = %(handler)s
       and poller.digest(a.key) = any (array(select l.digest from looked as l))
       and {is_meant}
       and a.key not in (select held.key from held)
       and a.key <> all (%(besides)s::text[])
), chosen as materialized (
    select a.key, a.attempt
      from poller.attempt as a
     where a.handler_id = %(handler)s
       and poller.digest(a.key) = any (array(select m.digest from meant as m))
       and {is_meant}
     order by poller.digest(a.key)
     limit %(room)s
       for update skip locked
), recorded as (
    insert into poller.event (handler_id, key, verdict, from_status, attempt, lease)
    select h.id, chosen.key, 'retried', h.status, chosen.attempt, gen_random_uuid()
      from chosen
      join poller.handler as h on h.id = %(handler)s
), put_back as (
    update poller.attempt as a
       set state = 'waiting', attempt = 0, crashes = 0, company = 0,
           next_at = poller.now(), first_at = poller.now(), changed_at = poller.now()
     where a.handler_id = %(handler)s
       and poller.digest(a.key) = any (array(select poller.digest(chosen.key) from chosen))
    returning 1
)
select (select count(*) from looked) as looked, (select max(l.digest) from looked as l) as last,
       (select count(*) from put_back) as rows,
       case when (select count(*) from chosen) < %(room)s
            then (select count(*) from meant) - (select count(*) from chosen) else 0 end as skipped,
       (select coalesce(array_agg(chosen.key), '{{}}') from chosen) as keys
