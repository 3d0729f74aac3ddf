-- Purpose  Forget what handlers knew of rows that a job has just moved from or to their statuses, in its column: a part
--          of age_out_batch.sql.
-- Locks    poller.attempt: those rows, after the user's rows, as settle.sql.
-- Fence    the locks of the user's rows, which a claim of a retry would need.
-- Index    handler's unique key; attempt_key.
, "~handler" as materialized (
    select h.id
      from poller.handler as h
     where {has_its_rows}
       and h.status_column = {status_column}
       and ({is_from} or {is_to})
       and exists (select from poller.attempt as a where a.handler_id = h.id)
), "~forgotten" as (
    delete from poller.attempt as a
     where a.handler_id = any (array(select "~handler".id from "~handler"))
       and poller.digest(a.key) = any (array(
             select poller.digest("~moved"."~key") from "~moved" where exists (select from "~handler")))
)
