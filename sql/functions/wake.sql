-- The trigger function of `poller migrate --triggers`: one notification a transaction, and none for poller's own moves,
-- whose sessions set poller.quiet (they wake whom they need to). All workers hear it; by its text they know which one looks.
create or replace function poller.wake() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if coalesce(current_setting('poller.quiet', true), '') <> 'on' then
        perform pg_notify('poller', concat_ws(' ', 'table', tg_relid::text, pg_current_xact_id()::text));
    end if;
    return null;
end
$$;
