-- Purpose  As raise_totals.sql, of runs: apart, since a worker's role need not have the right to; triggers count them.
-- Locks    rows of poller.run_total, in one order.
-- Fence    as raise_totals.sql.
-- Index    run_total's primary key.
insert into poller.run_total as t (function, outcome, part, runs)
select m.labels ->> 'job', m.labels ->> 'outcome', 0, m.value::bigint
  from unnest(%(names)s::text[], %(labels)s::jsonb[], %(values)s::float8[]) as m (name, labels, value)
 where m.name = 'runs_total'
 order by m.labels ->> 'job', m.labels ->> 'outcome'
    on conflict (function, outcome, part) do update
   set runs = t.runs + excluded.runs
