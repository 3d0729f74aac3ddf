-- Purpose  Give rows that are retried, or wait for an attempt that is due, their handler's status back, where they show its `during`
--          though no worker holds them: their way back was refused, or their leases were given up with their table.
-- Locks    the user's rows, FOR NO KEY UPDATE SKIP LOCKED: waits for none.
-- Fence    what is remembered of them was locked earlier in the same transaction (retry.sql, lock_retries.sql): no worker can claim
--          them before it ends (retake.sql), and this statement's snapshot is newer than any claim that came before those locks.
-- CAS      only a row that still shows `during` is changed.
-- Index    the primary key of the user's table; claim_handler.
-- Returns  the keys of rows that have not got it: whether another transaction has them locked; else a trigger or rule has swallowed
--          the UPDATE.
-- Raises   what poller.refuse_status does, if a trigger of the table's gave a row another status than its handler's.
-- The path is the users' before the UPDATE begins, whose triggers before the statement would otherwise come first.
with meant as materialized (
    select o.poller_key
      from unnest(%(keys)s::text[]) as o (poller_key)
      join {table} as t on {is_own}
     where {users}
       and {shows_during}
       and o.poller_key not in (
             select k.key from poller.claim as c, unnest(c.keys) as k (key)
              where c.handler_id = any (array(select h.id from poller.handler as h where {has_its_rows})))
), stuck as materialized (
    select o.poller_key
      from meant as o
      join {table} as t on {is_own}
     where {users}
       and {shows_during}
       for no key update of t skip locked
), restored as (
    update {table} as t
       set {status} = {from_status}
      from stuck as o
     where {as_users}
       and {is_own}
    returning o.poller_key, case when {strays} then poller.refuse_status(t.{status}::text) end
)
select m.poller_key, m.poller_key not in (select s.poller_key from stuck as s) as is_locked
  from meant as m
 where m.poller_key not in (select r.poller_key from restored as r)
