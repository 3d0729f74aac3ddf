-- How long the period of a fixed rate is, or a fixed delay: null for any other schedule, and for a text that is not a
-- duration, as `duration.py` reads it.
create or replace function poller.every_of(schedule text) returns interval
    language sql immutable strict parallel safe
    set search_path = pg_catalog, pg_temp
    as $$
    select make_interval(secs => least(sum(part[1]::numeric * case part[2]
               when 'ms' then 0.001 when 's' then 1 when 'm' then 60 when 'h' then 3600 when 'd' then 86400
               when 'w' then 604800 end), 36525 * 86400.0)::float8)
      from regexp_matches(
               substring(schedule, '(?i)^\s*(?:(?:cron_)?tz=\S*)?\s*@(?:every|after)\M\s*((?:\d+(?:\.\d+)?(?:ms|[smhdw]))+)\s*$'),
               '(\d+(?:\.\d+)?)(ms|[smhdw])', 'g') as part
    having count(*) > 0
$$;
