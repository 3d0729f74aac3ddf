create table orders (
    id bigint generated always as identity primary key,
    status text not null default 'pending',
    customer text not null default 'c',
    total numeric(10, 2) not null default 49.90,
    created_at timestamptz not null default now(),
    updated_at timestamptz
);
create index on orders (status, id);
create table emails (id uuid primary key default gen_random_uuid(), state text not null default 'queued', address text,
                     created_at timestamptz not null default now());
create table tenants (slug text primary key, status text not null default 'pending', plan text not null default 'team',
                      created_at timestamptz not null default now());
create temporary view many as
select * from (values ('pending', 1240), ('packing', 24), ('paid', 302), ('shipped', 9203), ('declined', 212), ('review', 9),
                      ('returned', 3), ('refunded', 41), ('draft', 118)) as m (status, rows);
insert into orders (status, customer, total, created_at)
select m.status, 'c' || n * 37 % 991, 9 + n * 7919 % 40000 / 100.0, now() - interval '1 s' * (130 + (m.rows - n) * 3 % 86000)
  from many as m cross join lateral generate_series(1, m.rows) as n;
insert into emails (state, address, created_at)
select s, 'a' || n || '@example.com', now() - interval '1 s' * n
  from (values ('queued', 61), ('sent', 3120), ('bounced', 17)) as m (s, r) cross join lateral generate_series(1, r) as n;
insert into tenants (slug, status, created_at)
select (array['north', 'harbour', 'maple', 'copper', 'violet', 'summit', 'delta'])[1 + n % 7] || '-' || s || '-' || n, s,
       now() - interval '1 h' * n
  from (values ('active', 388), ('closing', 5), ('closed', 52), ('stuck', 1), ('provisioning', 2)) as m (s, r)
 cross join lateral generate_series(1, r) as n;
analyze orders, emails, tenants;
-- what has happened
create temporary view h as
select h.id, split_part(h.table_name, '.', 2) || ':' || h.status as name from poller.handler as h;
delete from poller.worker;
insert into poller.worker (supervisor, host, pid, slots, handlers, lease, started_at, heartbeat_at, stopping_at, died_at)
select gen_random_uuid(), w.host, w.pid, w.slots, (select array_agg(id) from h), '2 h', now() - w.up, now() - interval '1 s',
       case w.state when 'stopping' then now() - interval '4 s' end,
       case w.state when 'dead' then now() - interval '3 h' end
  from (values ('web-1.shop.example', 411, 16, interval '9 days', 'alive'), ('web-1.shop.example', 412, 16, '9 days', 'alive'),
               ('web-2.shop.example', 877, 16, '26 h', 'alive'), ('web-2.shop.example', 878, 16, '26 h', 'alive'),
               ('batch-1.shop.example', 1203, 8, '3 days', 'stopping'), ('batch-1.shop.example', 990, 8, '4 days', 'dead'))
       as w (host, pid, slots, up, state);
create temporary view w as
select id, row_number() over (order by id) as nth from poller.worker where died_at is null;
insert into poller.claim (handler_id, worker_id, keys, claimed_at)
select h.id, w.id, array(select id::text from orders where status = 'packing' order by id offset 6 * (w.nth - 1) limit 6),
       now() - interval '1 s' * w.nth * 3
  from h join w on w.nth <= 4 where h.name = 'orders:paid';
insert into poller.claim (handler_id, worker_id, keys, claimed_at)
select h.id, w.id, array(select id::text from orders where status = 'pending' order by id offset 4 * (w.nth - 1) limit 4),
       now() - interval '900 ms' * w.nth
  from h join w on w.nth <= 3 where h.name = 'orders:pending';
insert into poller.claim (handler_id, worker_id, keys, claimed_at)
select h.id, w.id, array['maple-provisioning-2'], now() - interval '72 s' from h join w on w.nth = 5 where h.name = 'tenants:pending';
update poller.handler set paused_at = now() - interval '40 min', paused_by = 'maria' where status = 'review';
insert into poller.attempt (handler_id, key, state, attempt, company, next_at, error, visit, first_at, changed_at, kind, place)
select h.id, o.key, t.state, t.attempt, 1, now() + interval '1 s' * (20 + o.n * 13), t.error, gen_random_uuid(),
       now() - t.since, now() - t.since * (o.n::float8 / (t.rows + 1)), split_part(t.error, ':', 1), t.place
  from (values ('orders:pending', 'pending', 14, 'waiting', 2, 'ConnectError: [Errno 111] Connection refused: payments.example:443', 'client.py:88', interval '23 min', 40),
               ('orders:pending', 'pending', 5, 'waiting', 1, 'ReadTimeout: no answer within 10 s', 'client.py:121', '6 min', 80),
               ('orders:paid', 'paid', 3, 'parked', 5, 'AddressError: no street in ''Unter den Linden''', 'labels.py:41', '2 h', 0),
               ('emails:queued', '', 4, 'snoozed', 1, 'Throttled: 451 try again later', 'smtp.py:30', '3 min', 0),
               ('tenants:closing', '', 2, 'parked', 5, 'PermissionError: bucket is not ours', 'buckets.py:64', '5 h', 0))
       as t (name, status, rows, state, attempt, error, place, since, skip)
  join h on h.name = t.name
 cross join lateral (
       select key, row_number() over () as n
         from (select id::text as key from orders where t.name like 'orders:%' and status = t.status order by id desc offset t.skip limit t.rows) as a
       union all
       select key, row_number() over ()
         from (select id::text as key from emails where t.name = 'emails:queued' and state = 'queued' order by id limit t.rows) as b
       union all
       select key, row_number() over ()
         from (select slug as key from tenants where t.name = 'tenants:closing' and status = 'closing' order by slug limit t.rows) as c) as o (key, n);
insert into poller.tally (minute, handler_id, worker_id, moved, failed, to_statuses, seconds)
select date_trunc('minute', now()) - interval '1 min' * m, h.id, w.id, moved, moved / 60,
       jsonb_build_object(t.first, moved - moved * t.other / 100) ||
       case when t.other > 0 then jsonb_build_object(t.second, moved * t.other / 100) else '{}' end,
       '{}'
  from (values ('orders:pending', 310, 'paid', 4, 'review'), ('orders:paid', 288, 'shipped', 0, ''), ('emails:queued', 940, 'sent', 0, ''),
               ('orders:returned', 2, 'refunded', 0, ''), ('tenants:pending', 1, 'active', 0, ''))
       as t (name, rate, first, other, second)
  join h on h.name = t.name join w on w.nth = 1 cross join generate_series(0, 59) as m
 cross join lateral (select (t.rate * (0.62 + 0.3 * sin(m / 6.0) + (m * 7919 % 13) / 90.0))::int as moved) as r;
insert into poller.total (handler_id, moved, failed, parked, retried, to_statuses)
select h.id, 1, 0, 0, 0, jsonb_build_object('cancelled', 1) from h where h.name = 'orders:pending' on conflict do nothing;
insert into poller.event (handler_id, key, verdict, from_status, to_status, attempt, seconds, error, worker_id, lease, at, kind, place)
select h.id, o.id::text, 'retrying', 'pending', null, n, 0.25 * n, 'ConnectError: [Errno 111] Connection refused: payments.example:443',
       w.id, gen_random_uuid(), now() - interval '4 min' * (4 - n), 'ConnectError', 'client.py:88'
  from h join w on w.nth = 1 cross join (select id from orders where status = 'pending' order by id desc offset 40 limit 1) as o
 cross join generate_series(1, 2) as n where h.name = 'orders:pending';
update poller.job set paused_at = now() - interval '2 days' where name = 'old_carts';
insert into poller.run (job, function, planned_at, due_at, status, attempt, started_at, finished_at, error, output, kind, place, done, total)
select r.job, j.function, p.at, p.at, p.status, 1, p.at + interval '120 ms',
       case when p.status in ('succeeded', 'failed') then p.at + r.took * (1 + n % 5 / 4.0) end,
       case p.status when 'failed' then 'HTTPError: 503 Service Unavailable for https://prices.example/v2' end,
       format(E'\x1b[32mINFO\x1b[0m %s has begun\n%s rows read\n%s', r.job, n * 137, case p.status when 'failed' then 'Traceback (most recent call last):' || E'\n  File "prices.py", line 12, in sync_prices\n    raise HTTPError(response)' else 'done' end),
       case p.status when 'failed' then 'HTTPError' end, case p.status when 'failed' then 'prices.py:12' end,
       case p.status when 'running' then 3120 end, case p.status when 'running' then 9600 end
  from (values ('sync_prices', 96, interval '15 min', interval '21 s'), ('backup', 2, '1 day', '14 min'), ('report', 1, '1 day', '3 s'),
               ('old_carts', 9, '1 h', '400 ms'), ('export', 1, '1 day', '40 min')) as r (job, runs, apart, took)
  join poller.job as j on j.name = r.job
 cross join lateral generate_series(1, r.runs) as n
 cross join lateral (select now() - r.apart * n + interval '7 min' as at,
                            case when r.job = 'export' then 'running' when r.job = 'sync_prices' and n % 17 = 3 then 'failed' else 'succeeded' end as status) as p;
insert into poller.action (at, actor, via, action, target, affected, detail)
select now() - a.ago, a.actor, a.via, a.action, a.target, a.affected, a.detail
  from (values (interval '40 min', 'maria', 'desk', 'pause', 'orders:review', 1, null),
               ('51 min', 'maria', 'desk', 'retry', 'orders:pending', 17, 'with ConnectError'),
               ('3 h', 'deploy', 'cli', 'trigger', 'backup', 1, null),
               ('26 h', 'jonas', 'api', 'move', 'orders:review', 4, 'to declined')) as a (ago, actor, via, action, target, affected, detail)
 order by a.ago desc;
insert into poller.episode (subject_type, subject, kind, targets, opened_at, last_at, closed_at, times, error, place, detail, notices)
select e.type, e.subject, e.kind, e.targets, now() - e.opened, now() - e.last, now() - e.closed, e.times, e.error, e.place, e.detail, 1
  from (values ('handler', 'public.orders:pending', 'parked', array['oncall', 'shop'], interval '50 min', interval '4 min', null::interval, 0,
                'ConnectError', 'client.py:88', '12 rows are parked'),
               ('job', 'sync_prices', 'failed', array['oncall'], '3 h', '20 min', null, 7, 'HTTPError', 'prices.py:12', null),
               ('job', 'old_carts', 'stale', array['shop'], '2 d', '2 d', null, 0, null, null, 'no success since 2026-11-26 09:00:00 UTC'),
               ('host', 'web-7f9c', 'gone', '{}', '5 h', '5 h', '4 h', 1, null, null, 'a worker process ended without having been stopped, or was cut off'))
    as e (type, subject, kind, targets, opened, last, closed, times, error, place, detail);
with made as (
    insert into poller.message (target, payload, state, attempts, sent_at, error)
    values ('oncall', '{}', 'sent', 1, now() - interval '49 min', null), ('shop', '{}', 'waiting', 3, null, 'the answer was 503')
    returning key, target
)
insert into poller.notice (episode_id, target, number, reason, at, message)
select e.id, m.target, 1, 'opened', now() - interval '49 min', m.key
  from poller.episode as e join made as m on m.target = any (e.targets);
insert into poller.silence (pattern, reason, actor, until) values ('orders:*', 'the payment provider is being moved', 'maria', now() + interval '3 h');
