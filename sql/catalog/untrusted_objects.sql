-- Purpose  Find objects in the schema poller of an untrusted role, which would run with the rights of the current
--          role. Trusted are that role itself and the roles it was made a member of, superusers and the owner of the
--          database; and for an ordinary role that does not migrate the schema's owner, who has given it the grants. A
--          superuser seems to be a member of every role, so the list of members is asked for it.
-- Locks    none.
-- Fence    none: it is asked before anything in the schema is read or called.
-- Index    the catalogue's own.
-- pg_has_role reports a superuser as a member of all roles: pg_auth_members has the true memberships.
with me as (
    select r.oid, r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user
), home as (
    select n.oid, n.nspowner, n.nspacl from pg_catalog.pg_namespace as n where n.nspname = 'poller'
), trusted as (
    select r.oid
      from pg_catalog.pg_roles as r, me, home
     where r.oid = me.oid
        or r.rolsuper
        or r.oid = (select d.datdba from pg_catalog.pg_database as d where d.datname = pg_catalog.current_database())
        or (not me.rolsuper and pg_catalog.pg_has_role(me.oid, r.oid, 'member'))
        or exists (select from pg_catalog.pg_auth_members as m where m.member = me.oid and m.roleid = r.oid)
        or (r.oid = home.nspowner and not me.rolsuper and not %(migrates)s)
), found as (
    select 1 as place, 'the schema poller' as what, home.nspowner as owner from home
     union all
    select 2, 'the right to create in the schema poller', a.grantee
      from home, pg_catalog.aclexplode(home.nspacl) as a
     where a.privilege_type = 'CREATE'
     union all
    select 3, 'the function ' || p.oid::pg_catalog.regprocedure::pg_catalog.text, p.proowner
      from home join pg_catalog.pg_proc as p on p.pronamespace = home.oid
     union all
    select 4, 'the relation ' || c.oid::pg_catalog.regclass::pg_catalog.text, c.relowner
      from home join pg_catalog.pg_class as c on c.relnamespace = home.oid
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
     union all
    select 5, 'the operator ' || o.oid::pg_catalog.regoperator::pg_catalog.text, o.oprowner
      from home join pg_catalog.pg_operator as o on o.oprnamespace = home.oid
)
select f.what, coalesce(r.rolname::pg_catalog.text, 'public') as owner
  from found as f
  left join pg_catalog.pg_roles as r on r.oid = f.owner
 where f.owner not in (select t.oid from trusted as t)
 order by f.place, f.what
 limit 1
