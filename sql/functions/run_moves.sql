-- The times of a run are the database's, and are set here, for every writer. A fixed delay counts from the
-- finish, also of a run that failed or whose worker died.
create or replace function poller.run_moves() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if new.status = 'running' then
        new.attempt := old.attempt + 1;
        new.started_at := poller.now();
        new.finished_at := null;
        select max(r.planned_at) into new.previous_at
          from poller.run as r where r.job = new.job and r.status = 'succeeded';
    elsif new.status = 'pending' then
        if old.status <> 'running' then  -- somebody has it run again
            new.attempt := 0;
            new.finished_at := null;
            new.cancel_at := null;
        end if;
    else
        new.finished_at := poller.now();
        update poller.job as j
           set next_at = new.finished_at + j.every
         where j.name = new.job and j.kind = 'fixed_delay';
        if found then
            perform pg_notify('poller_supervisor', 'job');
        end if;
    end if;
    return new;
end
$$;
