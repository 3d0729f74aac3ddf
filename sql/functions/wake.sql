-- The trigger function of `poller migrate --triggers`: one notification a statement at most, and none for
-- poller's own moves, whose sessions set poller.quiet (they wake whom they need to).
create or replace function poller.wake() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if coalesce(current_setting('poller.quiet', true), '') <> 'on' then
        perform pg_notify('poller', '');
    end if;
    return null;
end
$$;
