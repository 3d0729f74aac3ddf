-- Whether nothing is to be told of a job, a handler or a host now: it is paused, or a person has silenced it.
create or replace function poller.is_silent(subject_type text, subject text) returns boolean
    language sql stable
    set search_path = pg_catalog, pg_temp
    as $$
    select exists (select from poller.silence as s
                    where s.ended_at is null and s.until > poller.now()
                      and (is_silent.subject like s."like"
                           or is_silent.subject_type = 'handler'
                              and is_silent.subject
                                  like any (array[s."like" || ':%', 'public.' || s."like", 'public.' || s."like" || ':%'])))
        or is_silent.subject_type = 'job'
           and exists (select from poller.job as j where j.name = is_silent.subject and j.paused_at is not null)
        or is_silent.subject_type = 'handler'
           and exists (select from poller.handler as h
                        where h.table_name || ':' || h.status = is_silent.subject
                          and h.paused_at is not null and coalesce(h.paused_until > poller.now(), true))
$$;
