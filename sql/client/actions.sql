-- Purpose  List the orders that were carried out, the newest first.
-- Locks    none.
-- Fence    none: read-only.
-- Index    action's primary key, backwards.
select a.id, a.at, a.actor, a.via, a.action, a.target, a.filter, a.detail, a.affected
  from poller.action as a
 where %(after)s::bigint is null or a.id < %(after)s
 order by a.id desc
 limit %(limit)s
