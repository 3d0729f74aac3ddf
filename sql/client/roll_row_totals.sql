-- Purpose  Add what was counted in minutes that have been over for an hour to the totals of rows. (A transaction that is
--          committed an hour after it has counted comes too late.)
-- Locks    poller.row_total: the table, locked before in this transaction (lock_row_totals.sql), against fold_tally, which
--          adds minutes that are deleted.
-- Fence    that lock: a count is added once.
-- Index    tally's primary key.
-- Up to the last minute that was counted in, however late the clock says it is: should it be set back, what is counted then is later.
with bounds as materialized (
    select coalesce((select max(t.minute) from poller.row_total as t), '-infinity') as since,
           (select max(y.minute) from poller.tally as y
             where y.minute <= date_trunc('minute', poller.now()) - interval '1 hour') as until
), counted as materialized (
    select y.handler_id, sum(y.moved) as moved, sum(y.failed) as failed, sum(y.parked) as parked, sum(y.retried) as retried
      from poller.tally as y
     where y.minute > (select b.since from bounds as b)
       and y.minute <= (select b.until from bounds as b)
     group by y.handler_id
)
insert into poller.row_total as t (handler_id, minute, moved, failed, parked, retried)
select h.id, b.until, coalesce(c.moved, 0), coalesce(c.failed, 0), coalesce(c.parked, 0), coalesce(c.retried, 0)
  from bounds as b
 cross join poller.handler as h
  left join counted as c on c.handler_id = h.id
 where b.until > b.since
 order by h.id
    on conflict (handler_id) do update
   set minute = excluded.minute,
       moved = t.moved + excluded.moved,
       failed = t.failed + excluded.failed,
       parked = t.parked + excluded.parked,
       retried = t.retried + excluded.retried
