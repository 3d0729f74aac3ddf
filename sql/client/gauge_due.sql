-- Purpose  Count the rows that show a handler's status, up to so many, and find since when the first in the order of its claims is
--          due that no worker holds. One branch a handler, joined by UNION ALL.
-- Locks    none.
-- Fence    none: read-only; executed only if the plan of `first` uses an index (along_indexes.sql).
-- Index    on the user's table: the claim's; attempt_key, a probe for each row that is passed over.
-- Names begin with ~, so that a handler's `where` cannot mean them.
select {handler}::integer,
       ({counted}),
       (select case when isfinite("~h"."~at") then "~h"."~at" end
          from (select ({age})::timestamptz as "~at"
                  from ({first}) as t
                 where {due}
                   and {key_columns} not in (
                         select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
                          where c.handler_id = {handler})
                   and (not exists (select from poller.attempt as a where a.handler_id = {handler})
                        or (select true from poller.attempt as a
                             where a.handler_id = {handler} and poller.digest(a.key) = poller.digest({key}) limit 1) is null)
                 limit 1) as "~h")
