-- Purpose  Write down what goes wrong: new episodes, and what is new of those that are open. One that is over is not begun anew
--          by what it had already counted.
-- Locks    poller.episode: those rows, in the order of their subjects: another who counts the same waits.
-- Fence    the unique index: an episode is opened once over the whole fleet.
-- Index    episode_open, episode_subject.
insert into poller.episode as e
       (subject_type, subject, kind, targets, times, error, place, detail, signatures, last_at, owed)
select f.subject_type, f.subject, f.kind, f.targets, f.at_first, f.error, f.place, f.detail, f.signatures,
       coalesce(f.at, poller.now()), 'opened'
  from jsonb_to_recordset(%(found)s::jsonb)
    as f (subject_type text, subject text, kind text, targets text[], at_first bigint, more bigint, error text, place text,
          detail text, signatures text[], at timestamptz)
 where f.at is null
    or not exists (select from poller.episode as o
                    where o.subject_type = f.subject_type and o.subject = f.subject and o.kind = f.kind
                      and o.closed_at is not null and o.last_at >= f.at)
 order by f.subject_type, f.subject, f.kind
    on conflict (subject_type, subject, kind) where closed_at is null do update
   set times = e.times + (select f.more
                            from jsonb_to_recordset(%(found)s::jsonb)
                              as f (subject_type text, subject text, kind text, more bigint)
                           where f.subject_type = e.subject_type and f.subject = e.subject and f.kind = e.kind),
       last_at = greatest(e.last_at, excluded.last_at),
       (error, place) = (
           select coalesce(split_part(n.s, ' ', 1), excluded.error, e.error),
                  case when n.s is null then coalesce(excluded.place, e.place)
                       else nullif(substr(n.s, length(split_part(n.s, ' ', 1)) + 2), '') end
             from (select min(u.s) as s from unnest(excluded.signatures) as u (s) where u.s <> all (e.signatures)) as n),
       detail = coalesce(excluded.detail, e.detail),
       owed = case when e.owed is null and not excluded.signatures <@ e.signatures and cardinality(e.signatures) < 50
                   then 'changed' else e.owed end,
       signatures = case when excluded.signatures <@ e.signatures or cardinality(e.signatures) >= 50 then e.signatures
                         else array(select distinct u.s from unnest(e.signatures || excluded.signatures) as u (s)
                                     order by u.s limit 50) end
 where excluded.kind in ('failed', 'missed', 'gone')
    or (e.detail, e.error, e.place) is distinct from
       (coalesce(excluded.detail, e.detail), coalesce(excluded.error, e.error), coalesce(excluded.place, e.place))
    or not excluded.signatures <@ e.signatures
