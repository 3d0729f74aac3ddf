-- A settle looks at what each row shows after the UPDATE: a trigger of the table's may have set another status (a flag
-- "changed", say), which would make the row due again and again. Raising undoes the statement, and the settler finds the
-- row whose fault it is.
create function poller.refuse_status(shown text) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    raise exception using message = 'a trigger of the table changed the status to ' || quote_literal(shown);
end
$$;

-- A key may be longer than an index takes (2,704 bytes), and a user's own index may have compressed it. So poller's own tables
-- are indexed by a digest, which is the key itself as long as that is short. That of a long key is longer than any of those.
create function poller.digest(key text) returns text
    language sql immutable parallel safe
    return case when octet_length(key) <= 500 then key else rpad(md5(key) || md5('poller' || key), 501, '-') end;

alter table poller.attempt drop constraint attempt_pkey;
create unique index attempt_key on poller.attempt (handler_id, poller.digest(key));
-- Of an event nothing depends on that key, which a row is purged by: a hash will do.
alter table poller.event drop constraint event_pkey;
alter table poller.event add column digest bigint generated always as (hashtextextended(key, 0)) stored;
alter table poller.event add primary key (handler_id, digest, lease);
