-- Purpose  Write down whom some open episodes tell from now on.
-- Locks    poller.episode: those rows, SKIP LOCKED: the next survey comes soon.
-- Fence    none: what was surveyed last holds.
-- Index    episode's primary key.
with changed as materialized (
    select e.id, r.targets
      from jsonb_to_recordset(%(routed)s::jsonb) as r (id bigint, targets text[])
      join poller.episode as e using (id)
     where e.closed_at is null
       for update of e skip locked
)
update poller.episode as e
   set targets = c.targets
  from changed as c
 where e.id = c.id
