-- Purpose  Read how many messages of alerts have been sent, for the fleet's gauges.
-- Locks    none.
-- Fence    none: read-only.
-- Index    message_total's primary key: all of it.
select 'alerts_total' as name, jsonb_build_object('target', m.target, 'outcome', m.outcome) as labels, m.messages::float8 as value
  from poller.message_total as m
