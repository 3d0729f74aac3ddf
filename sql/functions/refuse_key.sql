-- Statements that find rows by their keys, to change them, have been made for one primary key (is_keyed.sql). Raising is what
-- has them made anew.
create or replace function poller.refuse_key(changed oid) returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    raise exception using errcode = 'invalid_table_definition',
        message = concat('the primary key of ', changed::regclass, ' has changed, or another table inherits from it');
end
$$;
