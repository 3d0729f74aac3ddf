-- Purpose  Find when rows last failed for good.
-- Locks    none.
-- Fence    none: read-only.
-- Index    event's primary key: the verdict is filtered afterwards, else the planner would prefer the index of all
--          failures.
with told as materialized (
    select e.key, e.at, e.verdict
      from poller.event as e
     where e.handler_id = %(handler)s
       and e.digest = any (array(select hashtextextended(k.key, 0) from unnest(%(keys)s::text[]) as k (key)))
       and e.key = any(%(keys)s::text[])
)
select t.key, max(t.at) as at from told as t where t.verdict = 'failed' group by t.key
