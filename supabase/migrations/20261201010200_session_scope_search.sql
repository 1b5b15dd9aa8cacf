-- The searches ask may_read() as well: all as before otherwise.

do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  before text := current_setting('search_path');
begin
  perform set_config('search_path', format('pg_catalog, %I, pg_temp', home), true);
  execute $create$
    create or replace function federation.matches(
      embedding vector, model text, words tsquery, wanted jsonb, depth integer, min_similarity float8)
    returns table (row_id uuid, similarity float8, rank float8, place bigint)
    language plpgsql security definer
    as $body$
    declare
      me record;
      filter record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      passing constant text := 'k.tenant_id = $2 and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and ($3 is null or k.scope = ''tenant'' or $3 in (k.agent_id, k.session_agent)) '
        'and ($4 is null or k.agent_id = $4) and ($5 is null or k.session_id = $5) and ($6 is null or k.created_at >= $6) '
        'and ($7 is null or k.created_at < $7) and ($8 is null or k.metadata @> $8)';
      few constant integer := 10000;
      candidates integer;
    begin
      select federation.tenant_id() as tenant, federation.agent_id() as agent into me;
      select * into filter from federation.read_filter(wanted);
      if me.tenant is null then
        return;
      end if;
      if embedding is not null then
        if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
          execute format('select count(*) from (select from public.agent_memories k where %s and vector_dims(k.embedding) = %s limit %s) c',
            passing, dimensions, few + 1)
            into candidates using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata;
          -- Among few, all are compared. Among many, the index goes on until enough have passed (pgvector has that since 0.8).
          if candidates > few and (
            select string_to_array(e.extversion, '.')::integer[] >= array[0, 8] from pg_extension e where e.extname = 'vector') then
            near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
            perform set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.max_scan_tuples', '2147483647', true),
              set_config('hnsw.ef_search', least(1000, greatest(100, 2 * depth))::text, true);
          end if;
        end if;
        return query execute format(
          'select m.row_id, m.similarity, null::float8, row_number() over (order by m.similarity desc, m.seq desc) from ('
          'select k.row_id, k.seq, 1 - (%1$s) as similarity from public.agent_memories k '
          'where %2$s and vector_dims(k.embedding) = %3$s and k.embedding_model is not distinct from $9 '
          'order by %1$s limit $10) m where $11 is null or m.similarity >= $11', near, passing, dimensions)
          using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, model, depth, min_similarity;
      end if;
      if words is not null then
        return query execute format(
          'select m.row_id, null::float8, m.rank, row_number() over (order by m.rank desc, m.seq desc) from ('
          'select k.row_id, k.seq, ts_rank(k.words, $1)::float8 as rank from public.agent_memories k '
          'where %s and k.words @@ $1 order by rank desc, k.seq desc limit $9) m', passing)
          using words, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, depth;
      end if;
    end
    $body$
  $create$;
  execute format('alter function federation.matches set search_path = pg_catalog, %I, pg_temp', home);
  execute $create$
    create or replace function public.find_memories(query jsonb, as_agent text default null, as_tenant text default null)
    returns setof json
    language plpgsql
    as $body$
    declare
      who record;
      filter record;
      embedding vector := query ->> 'embedding';
      words tsquery;
      mode text := query ->> 'mode';
      wanted integer := coalesce((query ->> 'limit')::integer, 10);
      stranger text;
    begin
      select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
      if query is null or jsonb_typeof(query) <> 'object' then
        raise exception 'query: expected an object, got %', coalesce(jsonb_typeof(query), 'nothing') using errcode = '22023';
      end if;
      select k into stranger from jsonb_object_keys(query) k
      where k not in ('text', 'embedding', 'embedding_model', 'mode', 'filter', 'limit', 'min_similarity') limit 1;
      if stranger is not null then
        raise exception 'query: expected text, embedding, embedding_model, mode, filter, limit or min_similarity, got %',
          quote_literal(left(stranger, 100)) using errcode = '22023';
      end if;
      select * into filter from federation.read_filter(query -> 'filter');
      perform federation.check_text('text', query ->> 'text', 65536, false);
      wanted := federation.check_rows(wanted);
      mode := coalesce(mode, case when query ->> 'text' is null then 'meaning' when embedding is null then 'words' else 'both' end);
      if mode not in ('meaning', 'words', 'both') then
        raise exception 'mode: expected meaning, words or both, got %', quote_literal(left(mode, 100)) using errcode = '22023';
      elsif mode <> 'words' and (embedding is null or vector_norm(embedding) = 0) then
        raise exception 'embedding: expected a vector that is not all zeros, got %', case when embedding is null then 'nothing' else 'zeros' end
          using errcode = '22023';
      elsif mode <> 'meaning' and query ->> 'text' is null then
        raise exception 'text: expected a text, got nothing' using errcode = '22023';
      end if;
      if mode = 'meaning' then
        words := null;
      else
        words := federation.words_query(query ->> 'text');
      end if;
      if mode = 'words' then
        embedding := null;
      end if;
      return query
        with found as materialized (
          select m.row_id, max(m.similarity) as similarity,
            case mode when 'both' then sum(1.0 / (60 + m.place))::float8 else max(coalesce(m.similarity, m.rank)) end as score
          from federation.matches(embedding, query ->> 'embedding_model', words, query -> 'filter',
            case mode when 'both' then least(10000, greatest(100, 4 * wanted)) else wanted end, (query ->> 'min_similarity')::float8) m
          group by m.row_id)
        select concat(left(federation.memory_text(k), -1), ', "similarity": ', coalesce(to_json(f.similarity)::text, 'null'),
          ', "score": ', to_json(f.score), '}')::json
        from found f
        -- Each row again under the policies of the caller, and as it is by now.
        cross join lateral (
          select m from public.agent_memories m where m.row_id = f.row_id and m.tenant_id = who.tenant offset 0) r (k)
        where (k).deleted_at is null and (k).superseded_by is null and ((k).expires_at is null or (k).expires_at > now())
          and federation.may_read(k, who.agent)
        order by f.score desc, (k).seq desc
        limit wanted;
      perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    end
    $body$
  $create$;
  execute format('alter function public.find_memories set search_path = pg_catalog, %I, pg_temp', home);
  execute $create$
    create or replace function public.search_memories(
      embedding vector, max_rows integer default 10, as_agent text default null, as_tenant text default null)
    returns setof jsonb
    language plpgsql
    as $body$
    declare
      who record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      version integer[];
    begin
      select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
      if embedding is null or vector_norm(embedding) = 0 then
        raise exception 'embedding: expected a vector that is not all zeros, got %', case when embedding is null then 'nothing' else 'zeros' end
          using errcode = '22023';
      end if;
      if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
        near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
        -- Without it the tenant's filter starves what the index finds. pgvector has it since 0.8.
        version := (select string_to_array(extversion, '.')::integer[] from pg_extension where extname = 'vector');
        if version >= array[0, 8] then
          perform set_config('hnsw.iterative_scan', 'strict_order', true);
        end if;
      end if;
      return query execute format(
        'select federation.memory_json(k) || jsonb_build_object(''similarity'', 1 - (%1$s)) from public.agent_memories k '
        'where k.tenant_id = $2 and vector_dims(k.embedding) = %2$s and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and ($3 is null or k.scope = ''tenant'' or $3 in (k.agent_id, k.session_agent)) '
        'order by %1$s limit $4', near, dimensions)
        using embedding, who.tenant, who.agent, federation.check_rows(max_rows);
      perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    end
    $body$
  $create$;
  execute format('alter function public.search_memories set search_path = pg_catalog, %I, pg_temp', home);
  perform set_config('search_path', before, true);
end
$$;


do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.matches', members);
  perform federation.hand_out('public.find_memories', members);
  perform federation.hand_out('public.search_memories', members);
end
$$;
