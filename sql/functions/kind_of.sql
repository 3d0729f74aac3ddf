-- What kind of schedule a text is, as `schedules/slots.py` reads it; whatever else it is, it is a cron line.
create or replace function poller.kind_of(schedule text) returns text
    language sql immutable strict parallel safe
    set search_path = pg_catalog, pg_temp
    as $$
    select case lower(substring(schedule, '(?i)^\s*(?:(?:cron_)?tz=\S*)?\s*@(\w+)'))
           when 'every' then 'fixed_rate'
           when 'after' then 'fixed_delay'
           when 'at' then 'at'
           else 'cron' end
$$;
