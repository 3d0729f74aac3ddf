-- Purpose  Settle rows that have simply moved, at the first attempt, all to one status, and record them together: most of
--          all outcomes, at half the cost of settle.sql. It leaves other rows (changed by another session, a lease that has
--          ended) to settle.sql.
-- Locks    as settle.sql.
-- Fence    as settle.sql: a row is moved only if its lease still holds its key.
-- CAS      as settle.sql: and only if it still shows the status it was leased with.
-- Index    the primary keys of all the tables named.
-- Plans    keys are looked up by hashed subplans, as in settle.sql: "is true" keeps the planner from making it a join.
-- Visits   as settle.sql: a move ends what the handler of the next status knew. Where that has no rows in trouble, it costs two
--          index probes a statement.
-- Returns  the keys that were not moved, or null.
-- Raises   as settle.sql.
with held as materialized (
    select c.lease, c.keys, array_position(%(leases)s::uuid[], c.lease) as lease_no
      from poller.claim as c
     where c.lease = any(%(leases)s::uuid[])
     order by c.lease
       for update
), moved as (
    update {table} as t
       set {status} = %(to_status)s::{status_type}
      from unnest(%(key)s::text[], %(lease_no)s::integer[], %(seconds)s::real[])
        as o (poller_key, lease_no, seconds)
     where {as_users} and {is_keyed}
       and {is_outcome}
       and {shows_held}
       and ((o.lease_no, o.poller_key) in (select h.lease_no, unnest(h.keys) from held as h)) is true
    returning o.poller_key, o.lease_no, o.seconds,
              case when {strays}
                   then poller.refuse_status(t.{status}::text) end
), next_handler as materialized (
    select h.id
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
             select poller.digest(m.poller_key) from moved as m where exists (select from next_handler)))
), ended as materialized (
    select m.lease_no, (%(workers)s::integer[])[m.lease_no] as worker_id, count(*)::integer as rows
      from moved as m
     group by m.lease_no
), touched as materialized (
    select h.lease_no, h.lease, h.keys,
           (h.lease_no, cardinality(h.keys)) in (select e.lease_no, e.rows from ended as e) as is_done
      from held as h
     where h.lease_no in (select e.lease_no from ended as e)
), given_back as (
    delete from poller.claim as c
     where c.lease = any (array(select t.lease from touched as t where t.is_done))
), rest as materialized (
    select t.lease,
           array(select k.key
                   from unnest(t.keys) with ordinality as k (key, place)
                  where (t.lease_no, k.key) not in (select m.lease_no, m.poller_key from moved as m)
                  order by k.place) as keys
      from touched as t
     where not t.is_done
), kept as (
    update poller.claim as c set keys = rest.keys from rest
     where c.lease = rest.lease and c.lease = any (array(select rest.lease from rest))
), recorded as (
    insert into poller.move (handler_id, from_status, to_status, worker_id, lease, keys, seconds)
    select %(handler)s, {from_status}, %(to_status)s, (%(workers)s::integer[])[m.lease_no],
           (%(leases)s::uuid[])[m.lease_no], array_agg(m.poller_key), array_agg(m.seconds)
      from moved as m
     where {worth_recording}
     group by m.lease_no
), counted as (
    insert into poller.tally as y (minute, handler_id, worker_id, moved, to_statuses, seconds)
    select date_trunc('minute', poller.now()), %(handler)s, e.worker_id, sum(e.rows),
           jsonb_build_object(%(to_status)s::text, sum(e.rows)),
           case when e.worker_id = (%(workers)s::integer[])[1] then %(sample)s::real[] else '{{}}' end
      from ended as e
     group by e.worker_id
     order by e.worker_id
        on conflict (minute, handler_id, worker_id) do update
       set moved = y.moved + excluded.moved,
           to_statuses = y.to_statuses || jsonb_build_object(
               %(to_status)s::text, coalesce((y.to_statuses ->> %(to_status)s::text)::bigint, 0) + excluded.moved),
           seconds = case when cardinality(y.seconds) < 64 then y.seconds || excluded.seconds else y.seconds end
)
select case when (select count(*) from moved where {as_users}) < cardinality(%(key)s::text[])
            then array(select k.key from unnest(%(key)s::text[]) as k (key)
                        where k.key not in (select m.poller_key from moved as m))
       end
