-- A settle looks at what each row shows after the UPDATE: a trigger of the table's may have set another status (a flag
-- "changed", say), which would make the row due again and again. Raising undoes the statement, and the settler finds the
-- row whose fault it is.
create function poller.refuse_status(shown text) returns void
    language plpgsql
    as $$
begin
    raise exception 'a trigger of the table changed the status to %', quote_literal(shown);
end
$$;

-- A key may be longer than an index takes (2,704 bytes), and a user's own index may have compressed it. So poller's own tables
-- are indexed by a digest, which is the key itself as long as that is short. That of a long key is longer than any of those.
create function poller.digest(key text) returns text
    language sql immutable parallel safe
    return case when octet_length(key) <= 500 then key else rpad(md5(key) || md5('poller' || key), 501, '-') end;

alter table poller.attempt drop constraint attempt_pkey;
create unique index attempt_key on poller.attempt (handler_id, poller.digest(key));
-- A lease ends for a key once, which the settling sees to: the index need not be unique.
alter table poller.event drop constraint event_pkey;
create index event_key on poller.event (handler_id, poller.digest(key));
