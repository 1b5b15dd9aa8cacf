-- As before; of two calls that come at the same moment with one content the second waits for the first and finds what it stored.
create or replace function federation.identical_memories(memories jsonb, tenant text, agent text)
returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- In one order, so that two calls wait for each other instead of deadlocking. The statement behind it sees what was committed meanwhile.
  perform pg_advisory_xact_lock(l.key) from (
    select distinct hashtextextended(jsonb_build_array('federation.identical', tenant, coalesce(m ->> 'agent_id', identical_memories.agent),
      coalesce(m ->> 'scope', 'tenant'), m ->> 'content')::text, 0) as key
    from jsonb_array_elements(memories) m where m ->> 'skip_identical' = 'true' order by key) l;
  return (
    select array_agg(case when g.skips then coalesce(k.id, nullif(g.first_id, g.id)) end order by g.place)
    from (
      select m.ordinality as place, m.value ->> 'id' as id, coalesce(m.value ->> 'skip_identical', '') = 'true' as skips,
        coalesce(m.value ->> 'agent_id', identical_memories.agent) as owner, coalesce(m.value ->> 'scope', 'tenant') as scope,
        encode(sha256(convert_to(m.value ->> 'content', 'UTF8')), 'hex') as hash,
        first_value(m.value ->> 'id') over (
          partition by coalesce(m.value ->> 'agent_id', identical_memories.agent), coalesce(m.value ->> 'scope', 'tenant'), m.value ->> 'content'
          order by m.ordinality) as first_id
      from jsonb_array_elements(memories) with ordinality m) g
    left join lateral (
      select m.id from public.agent_memories m
      where g.skips and m.tenant_id = tenant and m.agent_id = g.owner and m.scope = g.scope and m.content_hash = g.hash
        and m.deleted_at is null and m.superseded_by is null and (m.expires_at is null or m.expires_at > now())
      order by m.id = g.id desc, m.id limit 1) k on true);
end
$$;
