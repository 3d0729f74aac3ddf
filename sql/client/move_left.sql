-- Purpose  Tell what the rows with some keys show, and which worker holds them: why a person's order has left them.
-- Locks    none.  Fence  none: read-only.
-- Index    the primary key of the user's table, a probe for each key; of what is in flight, all.
-- Returns  for each key: its row's own key, null if there is no such row; its status; whether it is one to be moved; and the
--          worker that holds it.
select k.key as asked, r."~key" as key, r."~status" as status, coalesce(r."~shows", false) as shows,
       (select c.worker_id
          from poller.claim as c
          join poller.handler as h on h.id = c.handler_id
         where r."~shows" and h.table_name = {table_name} and r."~key" = any (c.keys)
         limit 1) as worker
  from unnest(%(keys)s::text[]) with ordinality as k (key, place)
  left join lateral (
       select {key} as "~key", t.{status}::text as "~status", ({shows_from}) as "~shows"
         from {table} as t
        where {users}
          and {is_asked}
        limit 1) as r on true
 order by k.place
