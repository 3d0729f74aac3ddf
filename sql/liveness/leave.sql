-- Purpose  Take a worker that has given everything back out of the list; one that still holds leases is
--          declared dead instead, so that the sweeper takes them.
-- Locks    poller.worker: its own row, locked before in this transaction (await_claims.sql).
-- Fence    that lock: no claim is under way that this statement would not see; the foreign key of poller.claim.
-- Index    worker's primary key, claim_worker.
with gone as (
    delete from poller.worker as w
     where w.id = %(worker)s and not exists (select from poller.claim as c where c.worker_id = w.id)
    returning id
)
update poller.worker
   set died_at = poller.now(),
       held = (select sum(cardinality(c.keys)) from poller.claim as c where c.worker_id = worker.id)
 where id = %(worker)s and died_at is null and id not in (select id from gone)
