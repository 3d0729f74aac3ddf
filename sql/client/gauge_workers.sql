-- Purpose  Count the workers by their states, for the fleet's gauges. All gauge_*.sql of totals are joined by UNION ALL.
-- Locks    none.
-- Fence    none: read-only.
-- Index    none: all workers, of a day.
with worker as materialized (
    select case when w.died_at is not null or w.heartbeat_at + w.lease < poller.now() then 'dead'
                when w.stopping_at is not null then 'stopping'
                when w.drain_at is not null then 'draining'
                else 'alive' end as state
      from poller.worker as w
)
select 'workers', jsonb_build_object('state', s.state), (select count(*) from worker as w where w.state = s.state)::float8
  from (values ('alive'), ('draining'), ('stopping'), ('dead')) as s (state)
