-- Purpose  Find the order that was given with a word in the last day: its target, and the detail that names both.
-- Locks    none; the word's is held.
-- Fence    none: read-only.
-- Index    action_at: the orders of a day.
select a.target, a.detail
  from poller.action as a
 where a.at > poller.now() - interval '1 day'
   and a.action = 'trigger'
   and strpos(a.detail, %(word)s) > 0
 order by a.at desc
 limit 1
