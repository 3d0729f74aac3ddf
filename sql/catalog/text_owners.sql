-- Purpose  Find a function, operator, type or relation that a view uses and that belongs to a role which is not trusted:
--          trusted are this role and those it is a member of, superusers, the owners of the database and of the table,
--          and what came with an extension.
-- Locks    none.  Fence  none.
-- Index    the catalogue's own.
-- As untrusted_objects.sql: a superuser seems to be a member of every role.
with me as (
    select r.oid, r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user
), used as (
    select d.refclassid, d.refobjid
      from pg_catalog.pg_depend as d
      join pg_catalog.pg_rewrite as r on r.oid = d.objid
     where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
       and r.ev_class = %(view)s::pg_catalog.regclass
       and d.refobjid not in (r.ev_class, %(table)s)
), found as (
    select u.refclassid, u.refobjid, p.proowner as owner, 'the function ' || p.oid::pg_catalog.regprocedure::text as what
      from used as u join pg_catalog.pg_proc as p on u.refclassid = 'pg_catalog.pg_proc'::regclass and p.oid = u.refobjid
     union all
    select u.refclassid, u.refobjid, owner.oid, 'the operator ' || o.oid::pg_catalog.regoperator::text
      from used as u join pg_catalog.pg_operator as o on u.refclassid = 'pg_catalog.pg_operator'::regclass and o.oid = u.refobjid
      join pg_catalog.pg_proc as p on p.oid = o.oprcode, unnest(array[o.oprowner, p.proowner]) as owner (oid)
     union all
    select u.refclassid, u.refobjid, y.typowner, 'the type ' || y.oid::pg_catalog.regtype::text
      from used as u join pg_catalog.pg_type as y on u.refclassid = 'pg_catalog.pg_type'::regclass and y.oid = u.refobjid
     union all
    select u.refclassid, u.refobjid, c.relowner, 'the relation ' || c.oid::pg_catalog.regclass::text
      from used as u join pg_catalog.pg_class as c on u.refclassid = 'pg_catalog.pg_class'::regclass and c.oid = u.refobjid
)
select f.what, r.rolname::text as owner
  from found as f
  join pg_catalog.pg_roles as r on r.oid = f.owner
 cross join me
 where not r.rolsuper
   and r.oid <> me.oid
   and (me.rolsuper or not pg_catalog.pg_has_role(me.oid, r.oid, 'member'))
   and not exists (select from pg_catalog.pg_auth_members as m where m.member = me.oid and m.roleid = r.oid)
   and r.oid <> (select d.datdba from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
   and r.oid <> (select c.relowner from pg_catalog.pg_class as c where c.oid = %(table)s)
   and not exists (select from pg_catalog.pg_depend as e
                    where e.classid = f.refclassid and e.objid = f.refobjid and e.deptype = 'e')
 order by f.what
 limit 1
