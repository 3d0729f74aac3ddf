-- A success starts the jobs that wait for it, once all that they wait for have succeeded since their last run.
-- The job's row is locked first, so that of two successes at the same moment the second sees the first. Followers are found
-- by their index; slots of a clock that ran ahead do not count. One worker
-- is told of the run; see poller.wake().
create or replace function poller.run_succeeded() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
declare
    follower poller.job;
begin
    for follower in
        select * from poller.job as j
         where j.after <> '{}' and j.after @> array[new.job] and j.paused_at is null
         order by j.name for no key update
    loop
        insert into poller.run (job, function, args)
        select follower.name, follower.function, follower.args
         where not exists (
            select from unnest(follower.after) as needed (name)
             where not exists (
                select from poller.run as r
                 where r.job = needed.name and r.status = 'succeeded'
                   and r.finished_at > coalesce(
                        (select max(f.planned_at) from poller.run as f
                          where f.job = follower.name and f.planned_at <= poller.now()),
                        '-infinity')))
            on conflict do nothing;
        perform pg_notify('poller', concat_ws(' ', 'handler', h.id::text, pg_current_xact_id()::text))
           from poller.handler as h
          where h.table_name = 'poller.run' and h.status = follower.function;
    end loop;
    return null;
end
$$;
