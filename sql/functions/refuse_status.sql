-- A settle looks at what each row shows after the UPDATE: a trigger of the table's may have set another status (a flag
-- "changed", say), which would make the row due again and again. Raising undoes the statement, and the settler finds the
-- row whose fault it is.
create or replace function poller.refuse_status(shown text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    raise exception using message = 'a trigger of the table changed the status to ' || quote_literal(shown);
end
$$;
