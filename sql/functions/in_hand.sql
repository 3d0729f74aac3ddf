-- Which of some rows of a table are in hand of a handler. Volatile, so that it sees what was committed before the rows
-- were locked, as poller.take does: "VOLATILE functions obtain a fresh snapshot at the start of each query".
create or replace function poller.in_hand(handled text, asked text[]) returns text[]
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
    as $$
begin
    return array(
        select unnest(asked)
     intersect
        select k.key
          from poller.handler as h
          join poller.claim as c on c.handler_id = h.id, unnest(c.keys) as k (key)
         where h.table_name = handled);
end
$$;
