-- Purpose  Find leases of this worker that it does not know of: claims whose COMMIT was answered by an error,
--          and which may have been committed all the same. They are given back as never started.
-- Locks    none: giving back fences itself.
-- Fence    none.
-- Index    claim_worker.
select c.lease::text, c.handler_id, k.key
  from poller.claim as c
 cross join unnest(c.keys) as k (key)
 where c.worker_id = %(worker)s
   and c.lease <> all (%(known)s::uuid[])
