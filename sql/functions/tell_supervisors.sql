-- Tells supervisors which table has changed: that of the workers, whose deaths they are to notice, or that of the jobs.
create or replace function poller.tell_supervisors() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    perform pg_notify('poller_supervisor', tg_table_name::text);
    return null;
end
$$;
