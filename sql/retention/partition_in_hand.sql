-- Purpose  Tell whether handlers hold rows of a partition, under its lock, before all of it is dropped.
-- Locks    none: the partition is locked before, by a statement of its own, so that this one sees every claim of its
--          rows.
-- Fence    that lock: no claim can lock a row of the partition any more.
-- Index    the partition's primary key.
select exists (
    select from poller.handler as h
      join poller.claim as c on c.handler_id = h.id, unnest(c.keys) as k (key)
     where h.table_name = {handled}
       and exists (select from {partition} as t where {is_held}))
