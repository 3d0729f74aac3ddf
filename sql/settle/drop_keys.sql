-- Purpose  Give up leases of keys that no row can have any more, and forget what is remembered by them.
-- Locks    1. the claims, in the order of their ids, as settle.sql; 2. attempts.
-- Fence    what it takes away is the holder's own fence: a claim that no longer holds the key lets it write nothing more.
-- Index    claim_handler; attempt_key.
with held as materialized (
    select c.lease, c.keys
      from poller.claim as c
     where c.handler_id = %(handler)s and c.keys && %(keys)s::text[]
     order by c.lease
       for update
), rest as materialized (
    select h.lease, array(select k.key from unnest(h.keys) with ordinality as k (key, place)
                           where k.key <> all (%(keys)s::text[])
                           order by k.place) as keys
      from held as h
), given_back as (
    delete from poller.claim as c using rest where c.lease = rest.lease and rest.keys = '{{}}'
), kept as (
    update poller.claim as c set keys = rest.keys from rest where c.lease = rest.lease and rest.keys <> '{{}}'
)
delete from poller.attempt as a
 where a.handler_id = %(handler)s
   and poller.digest(a.key) = any (array(select poller.digest(k.key) from unnest(%(keys)s::text[]) as k (key)))
   and a.key = any (%(keys)s::text[])
