-- A key may be longer than an index takes (2,704 bytes), and a user's own index may have compressed it. So poller's own tables
-- are indexed by a digest, which is the key itself as long as that is short. That of a long key is longer than any of those.
create or replace function poller.digest(key text) returns text
    language sql immutable parallel safe
    return case when octet_length(key) <= 500 then key else rpad(md5(key) || md5('poller' || key), 501, '-') end;
