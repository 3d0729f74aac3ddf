-- Purpose  Write the outcomes of attempts, many at once: move the rows, remember those in trouble, give the
--          leases back, record what happened. The sweeper goes through here too.
-- Locks    1. the claims, in the order of their ids; 2. the user's rows, in the order given; 3. attempts;
--          4. the worker's own tally.
-- Fence    an outcome counts only if its lease still exists and still holds its key: a worker that lost
--          the lease changes nothing. Repeating the statement after an unknown commit is safe for the
--          same reason: what was settled is no longer held.
-- CAS      the row must still show the status it was leased with; else the outcome is recorded as
--          superseded (or gone), and the other session's write stands.
-- Index    the primary keys of all the tables named.
-- Plans    keys are looked up by hashed subplans (IN in an expression), not joined: no estimate, however wrong,
--          can make them nested loops.
-- Visit    of a row that is given back after its handler ran is remembered: the next attempt is at the same one.
-- Clock    it is read once: for each row that would cost as much as half of an insert.
-- Input    rows refer by number to leases and to outcomes, since most rows of a batch share both.
-- Visits   a row that is given back after its handler was called is remembered, since that handler knows its visit. A move
--          ends what the handler of the next status knew of the row, if that handler has rows in trouble at all: a new visit.
--          It may be a handler of a partition, or of the whole, and write the status otherwise (`New` and `new` of a citext).
-- Returns  [place in the input, from 1; result] where the result is not the verdict. Not settled are 'refused': a
--          trigger or rule of the user's swallowed the UPDATE, and the row is as it was; 'locked': another transaction
--          holds the lock of the row or of its claim (where it is not waited for: free_rows.sql); and 'late': the
--          lease had ended.
-- Raises   what poller.refuse_status does, if a trigger of the table's gave a row another status than it was to move to.
with clock as materialized (
    select poller.now() as now
), held as materialized (
    select c.lease, c.keys
      from poller.claim as c
     where c.lease = any(%(leases)s::uuid[])
     order by c.lease
       for update {skip_locked}
), kind as materialized (
    select *
      from unnest(%(verdict)s::text[], %(to_status)s::text[], %(delay)s::float8[], %(attempt)s::integer[],
                  %(error)s::text[], %(crashed)s::boolean[], %(company)s::integer[],
                  %(retaken)s::boolean[], %(begun)s::boolean[], %(traceback)s::text[],
                  %(error_kind)s::text[], %(error_place)s::text[])
           with ordinality
        as kind (verdict, to_status, delay, attempt, error, crashed, company, retaken, begun, traceback, error_kind,
                 error_place, kind_no)
), told as materialized (
    select (%(leases)s::uuid[])[o.lease_no] as lease, (%(workers)s::integer[])[o.lease_no] as worker_id, o.*
      from unnest(%(key)s::text[], %(lease_no)s::integer[], %(kind_no)s::integer[], %(seconds)s::real[]
                  {value_parameters})
           with ordinality
        as o (poller_key, lease_no, kind_no, seconds {value_names}, place)
), outcome as materialized (
    select o.*, kind.verdict, kind.to_status, kind.delay, kind.attempt, kind.error, kind.crashed,
           kind.company, kind.retaken, kind.begun, kind.traceback, kind.error_kind, kind.error_place,
           (o.lease, o.poller_key) in (select h.lease, unnest(h.keys) from held as h) as is_held
      from told as o
      join kind using (kind_no)
     where {as_users} and {is_keyed}
     order by o.place
), free as materialized (
    {free}
), moved as (
    update {table} as t
       set {status} = o.to_status::{status_type} {assignments}
      from outcome as o
     where {as_users}
       and {is_outcome}
       and {shows_held}
       and o.is_held
       and o.to_status is not null
       and {is_free}
    returning o.poller_key,
              case when {strays}
                   then poller.refuse_status(t.{status}::text) end
), unmoved as materialized (
    select o.poller_key,
           {shows_held} as unchanged,
           t.ctid is not null as present
      from outcome as o
      left join {table} as t on {is_outcome}
     where o.is_held
       and o.poller_key not in (select m.poller_key from moved as m)
), settled as materialized (
    select o.*,
           case when o.verdict = 'released' or o.poller_key in (select m.poller_key from moved as m)
                then o.verdict
                when o.poller_key in (select u.poller_key from unmoved as u where u.unchanged)
                then case when o.to_status is null then o.verdict when {is_free} then 'refused' else 'locked' end
                when o.poller_key in (select u.poller_key from unmoved as u where u.present)
                then 'superseded'
                else 'gone'
           end as result
      from outcome as o
     where o.is_held
), troubled as (
    insert into poller.attempt as a
           (handler_id, key, state, attempt, crashes, company, next_at, error, visit, first_at, kind, place, traceback)
    select %(handler)s, s.poller_key,
           case when s.result in ('retrying', 'released') then 'waiting' else s.result end,
           s.attempt, s.crashed::integer, s.company,
           (select now from clock) + make_interval(secs => coalesce(s.delay, 0)),
           s.error, s.lease, (select now from clock) - make_interval(secs => s.seconds), s.error_kind, s.error_place,
           s.traceback
      from settled as s
     where s.result in ('retrying', 'snoozed', 'parked')
        or s.result = 'released' and s.begun and not s.retaken
     order by s.poller_key
        on conflict (handler_id, poller.digest(key)) do update
       set state = excluded.state,
           attempt = excluded.attempt,
           crashes = case when excluded.crashes > 0 then a.crashes + 1 else 0 end,
           company = excluded.company,
           next_at = excluded.next_at,
           error = coalesce(excluded.error, a.error),
           kind = case when excluded.error is null then a.kind else excluded.kind end,
           place = case when excluded.error is null then a.place else excluded.place end,
           traceback = case when excluded.error is null then a.traceback else excluded.traceback end,
           changed_at = (select now from clock)
), cleared as (
    delete from poller.attempt as a
     where a.handler_id = %(handler)s
       and poller.digest(a.key) = any (array(
             select poller.digest(s.poller_key) from settled as s
              where s.retaken and s.result in ('moved', 'failed', 'superseded', 'gone')))
), next_handler as materialized (
    select h.id, h.status
      from poller.handler as h
     where {has_its_rows}
       and h.status_column = {status_column}
       and {is_next}
       and h.id <> %(handler)s
       and exists (select from poller.attempt as a where a.handler_id = h.id)
), forgotten as (
    delete from poller.attempt as a
     where a.handler_id = any (array(select n.id from next_handler as n))
       and poller.digest(a.key) = any (array(
             select poller.digest(s.poller_key) from settled as s
              where s.result in ('moved', 'failed') and exists (select from next_handler)))
       and (a.handler_id, a.key) in (
             select n.id, s.poller_key from settled as s join next_handler as n on {is_to}
              where s.result in ('moved', 'failed'))
), rest as materialized (
    select h.lease,
           array(select k.key
                   from unnest(h.keys) with ordinality as k (key, place)
                  where k.key not in (
                         select s.poller_key from settled as s where s.result not in ('refused', 'locked'))
                  order by k.place) as keys
      from held as h
), given_back as (
    delete from poller.claim as c
     where c.lease = any (array(select rest.lease from rest where rest.keys = '{{}}'))
), kept as (
    update poller.claim as c set keys = rest.keys from rest
     where c.lease = rest.lease
       and c.lease = any (array(select rest.lease from rest where rest.keys <> '{{}}'))
), recorded as (
    insert into poller.event
           (handler_id, key, verdict, from_status, to_status, attempt, seconds, error, worker_id, lease, at, traceback, kind, place)
    select %(handler)s, s.poller_key, s.result, {from_status}, s.to_status, s.attempt, s.seconds, s.error,
           s.worker_id, s.lease, (select now from clock), s.traceback, s.error_kind, s.error_place
      from settled as s
     where s.result not in ('released', 'refused', 'locked') and {worth_recording}
        on conflict do nothing
), counted as (
    insert into poller.tally as y (minute, handler_id, worker_id, moved, failed, parked, retried, to_statuses, seconds)
    select date_trunc('minute', (select now from clock)), %(handler)s, e.worker_id, sum(e.moved), sum(e.failed), sum(e.parked),
           sum(e.retried), coalesce(jsonb_object_agg(e.to_status, e.moved) filter (where e.moved > 0), '{{}}'),
           case when e.worker_id = (%(workers)s::integer[])[1] then %(sample)s::real[] else '{{}}' end
      from (select s.worker_id, s.to_status,
                   count(*) filter (where s.result = 'moved') as moved,
                   count(*) filter (where s.result = 'failed') as failed,
                   count(*) filter (where s.result = 'parked') as parked,
                   count(*) filter (where s.result = 'retrying') as retried
              from settled as s
             group by s.worker_id, s.to_status) as e
     group by e.worker_id
     order by e.worker_id
        on conflict (minute, handler_id, worker_id) do update
       set moved = y.moved + excluded.moved,
           failed = y.failed + excluded.failed,
           parked = y.parked + excluded.parked,
           retried = y.retried + excluded.retried,
           to_statuses = y.to_statuses || coalesce(
               (select jsonb_object_agg(e.key, e.value::bigint + coalesce((y.to_statuses ->> e.key)::bigint, 0))
                  from jsonb_each_text(excluded.to_statuses) as e), '{{}}'),
           seconds = case when cardinality(y.seconds) < 64 then y.seconds || excluded.seconds else y.seconds end
)
select coalesce((select jsonb_agg(jsonb_build_array(s.place, s.result)) from settled as s
                  where s.result <> s.verdict), '[]')
    || coalesce((select jsonb_agg(jsonb_build_array(o.place, case when {is_busy} then 'locked' else 'late' end))
                   from outcome as o where not o.is_held), '[]') as became
