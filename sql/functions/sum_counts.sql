-- Adds counts by name: {"a": 1} and {"a": 2, "b": 3} are {"a": 3, "b": 3}.
create or replace function poller.sum_counts(one jsonb, other jsonb) returns jsonb
    language sql immutable parallel safe
    return (
        select coalesce(jsonb_object_agg(c.name, c.rows), '{}')
          from (select e.key as name, sum(e.value::bigint) as rows
                  from (select * from jsonb_each_text(one) union all select * from jsonb_each_text(other)) as e
                 group by e.key) as c);
