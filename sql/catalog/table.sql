-- Purpose  Describe users' tables from the catalogue: handlers are checked against this at start-up.
-- Locks    none.  Fence  none.
-- Index    the catalogue's own.
-- How a type outside of pg_catalog is compared: by the operators of its default class, which only a superuser makes. Those of
-- enums take no domain over one, so that its values are cast.
-- A type is given without its length where it serves to cast a key, since a cast to varchar(3) cuts silently.
-- A session that can only read needs no right to write, nor one to read columns that it does not ask for.
-- The words of a status are compared without its domain, whose CHECK may refuse those of a handler that is gone.
-- What an index merely includes is not part of the key. Partitions are no heirs: their keys are the whole table's.
select c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relrowsecurity,
       pg_catalog.to_regclass('pg_catalog.pg_dist_partition') is not null as has_citus,
       has_table_privilege(c.oid, 'select') as may_select_all,
       has_table_privilege(c.oid, 'select')
       or current_setting('transaction_read_only')::bool and has_any_column_privilege(c.oid, 'select') as may_select,
       current_setting('transaction_read_only')::bool or has_any_column_privilege(c.oid, 'update') as may_update,
       (select jsonb_agg(jsonb_build_object(
                   'name', a.attname,
                   'type', format_type(a.atttypid, -1),
                   'full_type', format_type(a.atttypid, a.atttypmod),
                   'generated', a.attgenerated <> '' or a.attidentity = 'a',
                   'virtual', a.attgenerated = 'v',
                   'readable', has_column_privilege(c.oid, a.attnum, 'select'),
                   'settable', current_setting('transaction_read_only')::bool
                               or has_column_privilege(c.oid, a.attnum, 'update'),
                   'nullable', not a.attnotnull,
                   'code', base.oid::bigint,
                   'collation', (select quote_ident(s.nspname) || '.' || quote_ident(l.collname)
                                   from pg_collation as l join pg_namespace as s on s.oid = l.collnamespace
                                   join pg_type as y on y.oid = a.atttypid
                                  where l.oid = a.attcollation and a.attcollation <> y.typcollation),
                   'comparison', (select jsonb_build_object(
                                             'schema', n.nspname, 'type', format_type(base.oid, -1),
                                             'equal', max(o.oprname) filter (where p.amopstrategy = 3),
                                             'greater', max(o.oprname) filter (where p.amopstrategy = 5))
                                    from pg_opclass as f
                                    join pg_am as m on m.oid = f.opcmethod and m.amname = 'btree'
                                    join pg_amop as p on p.amopfamily = f.opcfamily and p.amoplefttype = f.opcintype
                                                     and p.amoprighttype = f.opcintype and p.amopstrategy in (3, 5)
                                    join pg_operator as o on o.oid = p.amopopr
                                    join pg_namespace as n on n.oid = o.oprnamespace
                                   where f.opcdefault
                                     and (f.opcintype = base.oid and n.nspname <> 'pg_catalog'
                                          or f.opcintype = 'anyenum'::regtype and base.kind = 'e' and base.oid <> a.atttypid)
                                   group by n.nspname),
                   'words', case when base.category = 'S'
                                  and (base.oid not in ('text'::regtype, 'character varying'::regtype)
                                       or a.attcollation <> base.plain)
                                 then '::' || format_type(base.oid, -1)
                                      || coalesce((select ' collate ' || quote_ident(s.nspname) || '.' || quote_ident(l.collname)
                                                     from pg_collation as l join pg_namespace as s on s.oid = l.collnamespace
                                                    where l.oid = a.attcollation and a.attcollation <> base.plain), '') end,
                   'labels', (select jsonb_agg(e.enumlabel order by e.enumsortorder)
                                from pg_enum as e where e.enumtypid = base.oid))
               order by a.attnum)
          from pg_attribute as a
         cross join lateral (
               with recursive base (oid, domain_of, kind, category, plain) as (
                    select y.oid, y.typbasetype, y.typtype, y.typcategory, y.typcollation
                      from pg_type as y where y.oid = a.atttypid
                     union all
                    select y.oid, y.typbasetype, y.typtype, y.typcategory, y.typcollation
                      from base join pg_type as y on y.oid = base.domain_of
                     where base.domain_of <> 0)
               select b.oid, b.kind, b.category, b.plain from base as b where b.domain_of = 0) as base
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
       (select array_agg(a.attname::text order by k.place)
          from pg_index as i
         cross join unnest(i.indkey) with ordinality as k (attnum, place)
          join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.attnum
         where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts) as key,
       (select i.indkey::text from pg_index as i where i.indrelid = c.oid and i.indisprimary) as key_numbers,
       (select array_agg(h.inhrelid::regclass::text order by h.inhrelid)
          from pg_inherits as h
         where h.inhparent = c.oid and c.relkind = 'r') as heirs,
       (with recursive whole (oid) as (
             select i.inhparent from pg_inherits as i where i.inhrelid = c.oid
              union
             select i.inhparent from whole join pg_inherits as i on i.inhrelid = whole.oid
        ), part (oid) as (
             select i.inhrelid from pg_inherits as i where i.inhparent = c.oid
              union
             select i.inhrelid from part join pg_inherits as i on i.inhparent = part.oid)
        select jsonb_agg(jsonb_build_array(s.nspname, k.relname) order by k.oid)
          from pg_class as k
          join pg_namespace as s on s.oid = k.relnamespace
         where k.oid in (select whole.oid from whole union all select part.oid from part)) as kin,
       (select jsonb_agg(jsonb_build_object('name', k.conname,
                                            'expression', pg_get_expr(k.conbin, k.conrelid),
                                            'column', a.attname))
          from pg_constraint as k
          join pg_attribute as a on a.attrelid = c.oid and k.conkey = array[a.attnum]
         where k.conrelid = c.oid and k.contype = 'c') as checks,
       (select array_agg(r.rulename::text order by r.rulename)
          from pg_rewrite as r where r.ev_class = c.oid and r.ev_type = '2') as rules,
       (select s.reset_val from pg_settings as s where s.name = 'TimeZone') as zone
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
 where c.oid = any(%(tables)s::oid[])
