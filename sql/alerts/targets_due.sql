-- Purpose  Of some targets, say which have notices that have been gathered for long enough, and have had few enough messages
--          within an hour.
-- Locks    none.
-- Fence    none: a hint; gather_notices.sql decides under the target's lock.
-- Index    notice_unsent, message_recent.
select n.target
  from unnest(%(targets)s::text[]) as n (target)
 where (select u.at from poller.notice as u where u.target = n.target and u.message is null order by u.id limit 1)
       <= poller.now() - make_interval(secs => %(group)s)
   and (select count(*) from poller.message as m
         where m.target = n.target and m.ping is null and m.at > poller.now() - interval '1 hour') < %(most)s
