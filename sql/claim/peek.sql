-- Purpose  Ask whether a handler has a row that is due and held by no worker, without locking it. One branch
--          a handler, joined by UNION ALL: an idle worker asks once for all of them.
-- Locks    none: an empty look costs no transaction id.
-- Fence    none: the answer is a hint; the claim decides.
-- Index    as look.sql; in the order of the key, so that without statistics no plan gathers all that is pending first.
select {handler}::integer, false
 where (
    select true from {table} as t
     where {due}
       and {after}
       and {key_columns} not in (
             select {claimed_columns} from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = {handler})
       and (select true from poller.attempt as a
             where a.handler_id = {handler} and poller.digest(a.key) = poller.digest({key}) limit 1) is null
     order by {key_order}
     limit 1)
