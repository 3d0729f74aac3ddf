-- Purpose  Count the rows that handlers have moved in the last sixty seconds, by the status that they moved to; as
--          handler_activity.sql does.
-- Locks    none.
-- Fence    none: read-only.
-- Index    tally's primary key.
select y.handler_id, e.key as to_status,
       sum(e.value::bigint * case when y.minute = date_trunc('minute', poller.now()) then 1
                                  else 1 - extract(second from poller.now()) / 60 end)::float8 as moved
  from poller.tally as y
 cross join jsonb_each_text(y.to_statuses) as e
 where y.minute >= date_trunc('minute', poller.now()) - interval '1 minute'
 group by y.handler_id, e.key
