-- Purpose  List the moves among the newest so many orders: what was named, the first of the keys beside it, and to which
--          status the rows went. The newest move of several alike comes first.
-- Locks    none.
-- Fence    none: read-only.
-- Index    action's primary key, backwards.
with newest as materialized (
    select a.id, a.action, a.target, a.filter, a.detail, a.affected
      from poller.action as a
     order by a.id desc
     limit %(most)s
)
select n.target, n.filter[:20] as keys, n.detail, max(n.affected) as affected
  from newest as n
 where n.action = 'move'
 group by n.target, n.filter[:20], n.detail
 order by max(n.id) desc
 limit %(limit)s
