-- A success starts the jobs that wait for it, once all that they wait for have succeeded since their last run: as their overlap,
-- their jitter, their window and a pause say. Of a job that no living worker has, one run waits at the most: whether its
-- program is away or gone, nobody can tell here.
-- Runs that may be replaced are locked first, then the jobs' rows, so that of two successes at the same moment the second
-- sees the first: a run that ends holds its own row, and asks for the rows of jobs then. Followers are found
-- by their index; slots of a clock that ran ahead do not count. One worker
-- is told of the run; see poller.wake().
create or replace function poller.run_succeeded() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
declare
    follower poller.job;
    slot timestamptz := poller.now();
    due timestamptz;
    waits boolean;
    runs boolean;
    is_skipped boolean;
begin
    perform from poller.job as j
       join poller.run as r on r.job = j.name and r.status in ('pending', 'running')
      where j.after <> '{}' and j.after @> array[new.job] and j.overlap = 'replace'
      order by r.id for no key update of r;
    for follower in
        select * from poller.job as j
         where j.after <> '{}' and j.after @> array[new.job] and j.paused_at is null
           and slot between coalesce(j.starts_at, '-infinity') and coalesce(j.ends_at, 'infinity')
         order by j.name for no key update
    loop
        slot := poller.now();
        continue when exists (
            select from unnest(follower.after) as needed (name)
             where not exists (
                select from poller.run as r
                 where r.job = needed.name and r.status = 'succeeded'
                   and r.finished_at > coalesce(
                        (select max(f.planned_at) from poller.run as f
                          where f.job = follower.name and f.planned_at <= slot),
                        '-infinity')));
        waits := exists (select from poller.run as r where r.job = follower.name and r.status = 'pending');
        continue when waits and not exists (
            select from poller.handler as h join poller.worker as w on w.died_at is null and h.id = any (w.handlers)
             where h.table_name = 'poller.run' and h.status = follower.function);
        runs := exists (select from poller.run as r where r.job = follower.name and r.status = 'running');
        is_skipped := follower.overlap = 'skip' and (waits or runs) or follower.overlap = 'queue' and waits;
        if follower.overlap = 'replace' then
            update poller.run as r
               set cancel_at = slot, status = case r.status when 'pending' then 'cancelled' else r.status end
             where r.job = follower.name and r.status in ('pending', 'running') and r.cancel_at is null;
        end if;
        due := slot + random() * follower.jitter;
        insert into poller.run (job, function, planned_at, due_at, status, args, finished_at)
        values (follower.name, follower.function, slot, due, case when is_skipped then 'skipped' else 'pending' end,
                follower.args, case when is_skipped then slot end)
            on conflict do nothing;
        perform pg_notify('poller', concat_ws(' ', 'handler', h.id::text, pg_current_xact_id()::text))
           from poller.handler as h
          where h.table_name = 'poller.run' and h.status = follower.function and not is_skipped and due <= poller.now();
    end loop;
    return null;
end
$$;
