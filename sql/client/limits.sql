-- Purpose  List the handlers that have limits, as their code was registered, with what the whole fleet has used of each.
-- Locks    none.
-- Fence    none: read-only.
-- Index    claim_handler; start_at.
-- Returns  `begun`: rows that count for the rate now; `next_in`: the seconds until the first of them does so no more.
select h.table_name as "table", h.status,
       (h.definition ->> 'limit')::bigint as "limit",
       (select coalesce(sum(cardinality(c.keys)), 0)::bigint from poller.claim as c where c.handler_id = h.id) as in_flight,
       array(select jsonb_array_elements_text(h.definition -> 'per_key')) as per_key,
       (h.definition ->> 'per_key_limit')::bigint as per_key_limit,
       rate.rows as rate, rate.seconds as "window", started.rows as begun, started.next_in
  from poller.handler as h
 cross join lateral (
       select split_part(h.definition ->> 'rate', '/', 1)::bigint as rows,
              rtrim(split_part(h.definition ->> 'rate', '/', 2), 's')::float8 as seconds) as rate
 cross join lateral (
       select case when rate.rows is not null then coalesce(sum(s.rows), 0)::bigint end as rows,
              extract(epoch from min(s.at) - poller.now())::float8 + rate.seconds as next_in
         from poller.start as s
        where s.handler_id = h.id
          and s.at > poller.now() - make_interval(secs => rate.seconds)) as started
 where h.definition ->> 'limit' is not null
    or h.definition ->> 'rate' is not null
    or jsonb_array_length(h.definition -> 'per_key') > 0
 order by h.table_name, h.id
