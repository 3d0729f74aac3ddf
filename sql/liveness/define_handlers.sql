-- Purpose  Write down what handlers are, as their code has it now, and when that was seen last: to the minute.
-- Locks    poller.handler: rows that are to be changed, FOR NO KEY UPDATE SKIP LOCKED, in the order of their numbers: a claim that
--          must not overlap others holds such a lock, and the next program that starts writes it as well.
-- Fence    none: what was started last holds.
-- Index    handler's unique key.
with defined as materialized (
    select h.id, w.definition
      from unnest(%(tables)s::text[], %(columns)s::text[], %(statuses)s::text[], %(definitions)s::jsonb[])
             as w (table_name, status_column, status, definition)
      join poller.handler as h using (table_name, status_column, status)
     where h.definition - 'seen_at' is distinct from w.definition
        or (h.definition ->> 'seen_at')::timestamptz < poller.now() - interval '1 minute'
     order by h.id
       for no key update of h skip locked
)
update poller.handler as h
   set definition = d.definition || jsonb_build_object('seen_at', poller.now())
  from defined as d
 where h.id = d.id
