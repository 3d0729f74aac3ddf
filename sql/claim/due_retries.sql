-- Purpose  List the keys of rows whose next attempt is due and which no worker holds: a part of the claims of retries.
-- Locks    none.
-- Fence    none: retake.sql looks again, and chooses.
-- Index    attempt_suspect, attempt_next; claim_handler.
-- Suspects (rows whose worker died under them) of the largest company come first, and half as many as it was; some more,
-- lest ten that a person has locked hide all others. One that is alone in its company (it has crashed by itself) has to
-- have waited for %(single_waits)s seconds, or is left out if that is null.
with held as materialized (
    select k.key from poller.claim as c, unnest(c.keys) as k (key) where c.handler_id = %(handler)s
), suspect as materialized (
    select a.key, a.company, a.next_at
      from poller.attempt as a
     where %(suspects)s > 0
       and a.handler_id = %(handler)s
       and a.state <> 'parked'
       and a.company > 0
       and a.next_at <= case when a.company > 1 then poller.now()
                             else poller.now() - make_interval(secs => %(single_waits)s) end
       and a.key not in (select held.key from held)
), first_suspects as materialized (
    select s.key
      from suspect as s
     order by s.company desc, s.next_at
     limit (select least(%(suspects)s, greatest(1, max(s.company) / 2)) + 10 from suspect as s)
)
select f.key from first_suspects as f
union all
select o.key
  from (select a.key
          from poller.attempt as a
         where a.handler_id = %(handler)s
           and a.state <> 'parked'
           and a.company = 0
           and a.next_at <= poller.now()
           and a.key not in (select held.key from held)
         order by a.next_at
         limit {most}) as o
