-- Purpose  List keys by which a handler's rows are known, to find those that no row can have any more: in leases of more than some
--          seconds; of retries that are due, the first thousand; and of all that is remembered, the next thousand.
-- Locks    none.
-- Fence    none: what a key can be does not depend on what happens to its row.
-- Index    claim_handler; attempt_next; attempt_key.
select array(select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = %(handler)s and c.claimed_at < poller.now() - interval '5 s'
              limit 10000)
    || array(select a.key from poller.attempt as a
              where a.handler_id = %(handler)s and a.state <> 'parked' and a.next_at <= poller.now()
              order by a.next_at
              limit 1000)
    || array(select a.key from poller.attempt as a
              where a.handler_id = %(handler)s and poller.digest(a.key) >= %(after)s::text
              order by poller.digest(a.key)
              limit 1000) as keys
