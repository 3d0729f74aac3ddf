-- Purpose  Gather the notices of a target that are in no message yet, each with its episode as it is now.
-- Locks    none; the caller holds the target's (hold_target.sql).
-- Fence    that lock.
-- Index    notice_unsent; episode's primary key.
select n.id, n.episode_id as episode, n.number, n.reason, n.at, e.subject_type as type, e.subject, e.kind, e.opened_at,
       e.last_at, e.closed_at, e.times, n.error, n.place, e.detail
  from poller.notice as n
  join poller.episode as e on e.id = n.episode_id
 where n.target = %(target)s and n.message is null
 order by n.id
 limit %(most)s
