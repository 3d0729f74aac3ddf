-- Counts runs as they end, in the statement that ends them, whoever does: so that what is purged later is counted.
-- A job's function may end many runs at a time, in many sessions: they share sixteen rows, and take them in one order.
-- Runs with the rights of the role that made the schema, since an older version's role may not write there.
create or replace function poller.count_runs() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if exists (select from ended as e where e.status in ('succeeded', 'failed', 'cancelled')) then
        insert into poller.run_total as t (function, outcome, part, runs, last_at)
        select e.function, e.status, pg_backend_pid() % 16, count(*), max(e.finished_at)
          from ended as e
          join unfinished as u on u.id = e.id
         where e.status in ('succeeded', 'failed', 'cancelled')
           and u.status in ('pending', 'running')
         group by e.function, e.status
         order by e.function, e.status
            on conflict (function, outcome, part) do update
           set runs = t.runs + excluded.runs,
               last_at = greatest(t.last_at, excluded.last_at);
    end if;
    return null;
end
$$;
