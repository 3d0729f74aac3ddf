-- Leaves a line for those who tell of runs, in the transaction that starts or ends one. Whatever goes wrong here costs the
-- line and nothing else: the run's own statement goes on, and the server's log says why. It waits for no lock. Runs with the
-- rights of the role that made the schema, since an older version's role may not write there.
create or replace function poller.run_signals() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '20ms'
    as $$
begin
    insert into poller.signal (event, run_id, job, function, planned_at, error, place)
    select case new.status when 'running' then 'start' when 'succeeded' then 'success' else 'fail' end,
           new.id, new.job, new.function, new.planned_at, new.kind, new.place
      from poller.watched as w
     where w.function = new.function
       and (w.pings or new.status = 'failed')
       and w.seen_at > poller.now() - interval '1 day';
    return null;
exception when others then
    raise warning using message = concat('poller: run ', new.id, ' of job ', new.job, ' leaves no signal for its alerts: ', sqlerrm);
    return null;
end
$$;
