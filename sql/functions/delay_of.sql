-- How long a fixed delay is: null for any other schedule, and for a text that Postgres cannot read. It is there for programs
-- of an older version, which run beside this one; the column poller.job.every says it now.
create or replace function poller.delay_of(schedule text) returns interval
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    as $$
begin
    return case when schedule like '@after %' then least(substr(schedule, 8)::interval, '36525 days') end;
exception when data_exception then
    return null;
end
$$;
