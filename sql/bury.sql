-- Purpose  Remove the rows of workers that are dead, hold nothing, and have been shown for a day.
-- Locks    poller.worker: those rows.
-- Fence    the foreign key of poller.claim.
-- Index    claim_worker.
with buried as (
    delete from poller.worker as w
     where w.died_at < poller.now() - interval '1 day'
       and not exists (select from poller.claim as c where c.worker_id = w.id)
    returning id
)
delete from poller.session where worker_id in (select id from buried)
