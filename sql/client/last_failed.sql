-- Purpose  Say when rows have failed for good the last time.
-- Locks    none.
-- Fence    none: to be looked at only.
-- Index    event's primary key: the verdict is looked at afterwards, or the index of all that have failed would seem to serve.
with told as materialized (
    select e.key, e.at, e.verdict
      from poller.event as e
     where e.handler_id = %(handler)s
       and e.digest = any (array(select hashtextextended(k.key, 0) from unnest(%(keys)s::text[]) as k (key)))
       and e.key = any(%(keys)s::text[])
)
select t.key, max(t.at) as at from told as t where t.verdict = 'failed' group by t.key
