-- Purpose  List the rows in flight, with their workers and since when; the longest in flight first.
-- Locks    none.
-- Fence    none: read-only.
-- Index    claim_handler: only rows in flight.
select h.table_name, h.status, k.key, c.worker_id, c.claimed_at, c.lease::text
  from poller.claim as c
  join poller.handler as h on h.id = c.handler_id
 cross join unnest(c.keys) as k (key)
 where c.handler_id = any (%(handlers)s::integer[])
   and (%(keys)s::text[] is null or k.key = any (%(keys)s::text[]))
   and (%(since)s::timestamptz is null
        or (c.claimed_at, c.lease, k.key) > (%(since)s::timestamptz, %(lease)s::uuid, %(key)s::text))
 order by c.claimed_at, c.lease, k.key
 limit %(limit)s
