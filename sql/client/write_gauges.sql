-- Purpose  Write what was measured; drop what nobody has measured for a while; tell all supervisors.
-- Locks    poller.gauge: rows, in one order.  Fence  none: the newest holds.
-- Index    gauge's primary key.
with written as (
    insert into poller.gauge as g (name, labels, value, at)
    select m.name, m.labels, m.value, poller.now()
      from unnest(%(names)s::text[], %(labels)s::jsonb[], %(values)s::float8[]) as m (name, labels, value)
     order by m.name, m.labels
        on conflict (name, labels) do update
       set value = case when g.name like '%%\_total' then greatest(g.value, excluded.value) else excluded.value end,
           at = excluded.at
), dropped as (
    delete from poller.gauge as g
     where g.at not between poller.now() - %(kept)s::interval and poller.now() + interval '5 seconds'
)
select pg_notify('poller_supervisor', 'gauge')
