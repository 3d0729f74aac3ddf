-- Keeps the sum of counts that are deleted, in the statement that deletes them: no total goes backwards, whichever job
-- purges. Runs with the rights of the role that made the schema, since an older version's role may not write there.
-- Minutes that `row_total` does not hold yet are added to it, too: under its lock, so that none is added twice
-- (sql/client/roll_row_totals.sql).
create or replace function poller.fold_tally() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    insert into poller.total as t (handler_id, moved, failed, parked, retried, to_statuses)
    select g.handler_id, sum(g.moved), sum(g.failed), sum(g.parked), sum(g.retried),
           (select coalesce(jsonb_object_agg(c.name, c.rows), '{}')
              from (select e.key as name, sum(e.value::bigint) as rows
                      from gone as x, jsonb_each_text(x.to_statuses) as e
                     where x.handler_id = g.handler_id
                     group by e.key) as c)
      from gone as g
     group by g.handler_id
     order by g.handler_id
        on conflict (handler_id) do update
       set moved = t.moved + excluded.moved,
           failed = t.failed + excluded.failed,
           parked = t.parked + excluded.parked,
           retried = t.retried + excluded.retried,
           to_statuses = poller.sum_counts(t.to_statuses, excluded.to_statuses);
    lock table poller.row_total in share row exclusive mode;
    insert into poller.row_total as t (handler_id, minute, moved, failed, parked, retried)
    select g.handler_id, coalesce((select max(k.minute) from poller.row_total as k), '-infinity'),
           sum(g.moved), sum(g.failed), sum(g.parked), sum(g.retried)
      from gone as g
     where g.minute > coalesce((select max(k.minute) from poller.row_total as k), '-infinity')
     group by g.handler_id
     order by g.handler_id
        on conflict (handler_id) do update
       set moved = t.moved + excluded.moved,
           failed = t.failed + excluded.failed,
           parked = t.parked + excluded.parked,
           retried = t.retried + excluded.retried;
    return null;
end
$$;
