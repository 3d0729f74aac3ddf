-- Purpose  List the next rows that a handler remembers, in the order of their digests, and lock what is remembered of those that
--          are strays: the row is gone, or shows another status than the handler's own (or its `during`); no worker holds it.
-- Locks    poller.attempt: the strays, FOR UPDATE SKIP LOCKED: never waits for a row. Until the transaction ends; a session
--          that is stopped meanwhile loses them after 5 s. The user's rows are only read.
-- Fence    none yet: this snapshot may be older than the commit of a claim, a park or a change of status. forget.sql looks
--          again under these locks. Whom this may meet:
--          - a retry that is being claimed: retake.sql locks what is remembered FOR KEY SHARE. If it was first, the row is
--            skipped here; if it comes later, it skips the row. If it has committed, forget.sql sees its claim.
--          - a settle that parks the row, or counts an attempt: the row was leased, so that the same holds; if all of that
--            was committed since this snapshot, forget.sql reads the status as it is then.
--          - a transaction of the user's that has not committed: it does not count. What a snapshot shows is what counts.
--          - a move by poller to the handler's status: both delete.
-- Index    attempt_key; claim_handler; the primary key of the user's table, one probe for each row remembered.
-- Returns  the last digest, how many rows were looked at, and the keys of the strays.
-- A row that row-level security may hide from this role is not taken for gone: it may be another role's work.
-- `after` is looked at again: the first digest may be the empty text.
with "~known" as materialized (
    select a.key as "~key", poller.digest(a.key) as "~digest"
      from poller.attempt as a
     where {users}
       and a.handler_id = %(handler)s and poller.digest(a.key) >= %(after)s::text
     order by poller.digest(a.key)
     limit 1000
), "~stray" as materialized (
    select k."~key", k."~digest"
      from "~known" as k
     where not coalesce(
           (select coalesce({shows_own}, false) from {table} as t where {is_known} limit 1),
           row_security_active({table_oid}::oid))
       and k."~key" not in (
             select c_key.key from poller.claim as c, unnest(c.keys) as c_key (key)
              where c.handler_id = %(handler)s)
), "~locked" as materialized (
    select a.key as "~key"
      from poller.attempt as a
     where a.handler_id = %(handler)s
       and poller.digest(a.key) = any (array(select s."~digest" from "~stray" as s))
       for update of a skip locked
)
select (select max(k."~digest") from "~known" as k) as last,
       (select count(*) from "~known") as looked,
       array(select l."~key" from "~locked" as l) as strays,
       set_config('idle_in_transaction_session_timeout', '5s', true)
