-- What agents remember. Deleting leaves a tombstone: id and clock, no content, so that copies elsewhere learn of it.
create table if not exists public.agent_memories (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id() check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  id text not null check (octet_length(id) between 1 and 255),
  agent_id text not null default federation.agent_id() check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  session_id text check (octet_length(session_id) <= 255),
  content text check (octet_length(content) <= 1048576),
  embedding_model text check (octet_length(embedding_model) <= 255),
  metadata jsonb not null default '{}' check (octet_length(metadata::text) <= 1048576),
  source jsonb check (octet_length(source::text) <= 1048576),
  scope text not null default 'tenant' check (scope in ('agent', 'session', 'tenant')),
  written_by text,
  content_hash text,
  supersedes text check (octet_length(supersedes) <= 255),
  superseded_by text check (octet_length(superseded_by) <= 255),
  valid_from timestamptz,
  valid_to timestamptz,
  version bigint not null default 1,
  -- The hybrid logical clock. 0 and '': the writer has none, the server's counts.
  hlc_ms bigint not null default 0 check (hlc_ms >= 0),
  hlc_counter integer not null default 0 check (hlc_counter >= 0),
  hlc_writer text not null default '',
  traceparent text check (octet_length(traceparent) <= 255),
  correlation_id text check (octet_length(correlation_id) <= 255),
  instance_id text check (octet_length(instance_id) <= 255),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz,
  deleted_at timestamptz,
  -- A tsvector ends at 1 MiB. Hyphenated words of four-byte characters need up to 7.3 bytes a character, so the first
  -- 100,000 characters always fit. No stemming: agents write in many languages.
  words tsvector generated always as
    (to_tsvector('pg_catalog.simple'::regconfig, left(coalesce(content, ''), 100000))) stored,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (tenant_id, id),
  constraint agent_memories_content_or_tombstone check ((content is null) = (deleted_at is not null))
);
comment on table public.agent_memories is 'Memories of a tenant''s agents, with embeddings of any dimension.';

-- pgvector is wherever the project has it. A vector of length zero has no direction to compare.
do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
begin
  execute format('alter table public.agent_memories add column if not exists embedding %1$I.vector '
    'constraint agent_memories_embedding_not_zero check (%1$I.vector_norm(embedding) > 0)', home);
end
$$;

create index if not exists agent_memories_newest on public.agent_memories (tenant_id, created_at desc, seq desc)
  where deleted_at is null and superseded_by is null;
create index if not exists agent_memories_agent on public.agent_memories (tenant_id, agent_id, created_at desc, seq desc);
create index if not exists agent_memories_cursor on public.agent_memories (tenant_id, tx, seq);
create index if not exists agent_memories_feed on public.agent_memories (tenant_id, seq) where scope <> 'agent';
create index if not exists agent_memories_expiry on public.agent_memories (tenant_id, expires_at) where expires_at is not null;
create index if not exists agent_memories_superseding on public.agent_memories (tenant_id, supersedes) where supersedes is not null;
create index if not exists agent_memories_same_content on public.agent_memories (tenant_id, agent_id, content_hash) where deleted_at is null;
create index if not exists agent_memories_tombstones on public.agent_memories (tenant_id, updated_at) where deleted_at is not null;
create index if not exists agent_memories_words on public.agent_memories using gin (words);

-- Of two writes of a memory the later stays: by time, counter, then the bytes of the writer. Equal is the same write.
-- Without a search_path of its own, so that it is inlined.
create or replace function federation.is_later(
  ms bigint, counter integer, writer text, than_ms bigint, than_counter integer, than_writer text)
returns boolean
language sql immutable parallel safe
as $$
  select ms operator(pg_catalog.>) than_ms or ms operator(pg_catalog.=) than_ms and (
    counter operator(pg_catalog.>) than_counter or counter operator(pg_catalog.=) than_counter
      and writer collate pg_catalog."C" operator(pg_catalog.>) than_writer)
$$;
comment on function federation.is_later(bigint, integer, text, bigint, integer, text) is 'The order of hybrid logical clocks.';

-- A clock further ahead than this is wrong, and would win for hours.
create or replace function federation.latest_clock_ms()
returns bigint
language sql volatile
as $$
  select pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) operator(pg_catalog.*) 1000)::pg_catalog.int8
    operator(pg_catalog.+) 60000
$$;

-- What changes a memory and is nobody's write, so that an older edit which arrives later still counts: the mark that another
-- one supersedes it, and the tombstone of what has expired.
create or replace function federation.is_no_write(old public.agent_memories, new public.agent_memories)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.deleted_at is null and new.deleted_at is not null then
    return coalesce(old.expires_at <= now(), false);
  end if;
  return new.superseded_by is distinct from old.superseded_by
    and (new.agent_id, new.session_id, new.content, new.embedding::text, new.embedding_model, new.metadata, new.source, new.scope,
         new.supersedes, new.valid_from, new.valid_to, new.expires_at, new.deleted_at) is not distinct from
        (old.agent_id, old.session_id, old.content, old.embedding::text, old.embedding_model, old.metadata, old.source, old.scope,
         old.supersedes, old.valid_from, old.valid_to, old.expires_at, old.deleted_at);
end
$$;

-- Fills what the writer leaves out and keeps what no writer decides: the cursor, the version, the hash, the times of the row.
-- A write that brings no clock, or one that cannot be right, gets one that is later than what is stored.
create or replace function federation.prepare_memory()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  now_ms bigint;
begin
  new.tx := pg_current_xact_id();
  new.seq := nextval('federation.change_seq');
  new.updated_at := now();
  if tg_op = 'INSERT' then
    new.version := 1;
    new.written_by := coalesce(new.written_by, federation.agent_id(), new.agent_id);
    if new.hlc_ms = 0 or new.hlc_ms > federation.latest_clock_ms() then
      new.hlc_ms := federation.latest_clock_ms() - 60000;
      new.hlc_counter := 0;
    end if;
    if new.hlc_writer = '' then
      new.hlc_writer := new.written_by;
    end if;
  else
    new.version := old.version + 1;
    new.row_id := old.row_id;
    -- What comes back after its deletion is a new memory under an old id.
    new.created_at := case when old.deleted_at is not null and new.deleted_at is null then new.created_at else old.created_at end;
    new.written_by := coalesce(federation.agent_id(), new.written_by);
    if new.hlc_ms > federation.latest_clock_ms()
      or not federation.is_later(new.hlc_ms, new.hlc_counter, new.hlc_writer, old.hlc_ms, old.hlc_counter, old.hlc_writer) then
      new.hlc_ms := old.hlc_ms;
      new.hlc_counter := old.hlc_counter;
      if not federation.is_no_write(old, new) then
        now_ms := federation.latest_clock_ms() - 60000;
        if now_ms > old.hlc_ms or old.hlc_counter = 2147483647 then
          new.hlc_ms := greatest(now_ms, old.hlc_ms + 1);
          new.hlc_counter := 0;
        else
          new.hlc_counter := old.hlc_counter + 1;
        end if;
        new.hlc_writer := case when new.hlc_writer = old.hlc_writer then coalesce(new.written_by, old.hlc_writer) else new.hlc_writer end;
      else
        new.hlc_writer := old.hlc_writer;
      end if;
    end if;
  end if;
  if new.deleted_at is not null then
    new.content := null;
    new.embedding := null;
    new.embedding_model := null;
    new.metadata := '{}';
    new.source := null;
    new.content_hash := null;
  else
    new.content_hash := encode(sha256(convert_to(new.content, 'UTF8')), 'hex');
  end if;
  return new;
end
$$;
comment on function federation.prepare_memory() is 'Trigger: what every written memory gets.';
create or replace trigger prepare before insert or update on public.agent_memories
  for each row execute function federation.prepare_memory();

alter table public.agent_memories enable row level security;
revoke all on public.agent_memories from public, anon, authenticated, service_role;
-- No delete for members: delete_memory() leaves the tombstone that copies elsewhere need.
grant select, insert, update on public.agent_memories to authenticated;
grant select, insert, update, delete on public.agent_memories to service_role, federation_definer;

drop policy if exists "members read, but not what another agent keeps to itself" on public.agent_memories;
create policy "members read, but not what another agent keeps to itself" on public.agent_memories for select to authenticated
  using (tenant_id = (select federation.tenant_id()) and (scope <> 'agent' or agent_id = (select federation.agent_id())));
drop policy if exists "members add their own" on public.agent_memories;
create policy "members add their own" on public.agent_memories for insert to authenticated
  with check (
    tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id())
    and written_by = (select federation.agent_id()));
drop policy if exists "members change their own" on public.agent_memories;
create policy "members change their own" on public.agent_memories for update to authenticated
  using (tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id()))
  with check (
    tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id())
    and written_by = (select federation.agent_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_memories;
create policy "functions, in the tenant they act for" on public.agent_memories for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- The shape of a memory, in parts: what is known of it, and what it says. Without a search_path of their own, so that they are inlined:
-- they name nothing that is not in pg_catalog, which is looked at first.
create or replace function federation.memory_facts(memory public.agent_memories)
returns jsonb
language sql stable
as $$
  select jsonb_build_object(
    'id', memory.id, 'tenant_id', memory.tenant_id, 'agent_id', memory.agent_id, 'session_id', memory.session_id,
    'embedding_model', memory.embedding_model, 'scope', memory.scope, 'written_by', memory.written_by,
    'content_hash', memory.content_hash, 'supersedes', memory.supersedes, 'superseded_by', memory.superseded_by,
    'version', memory.version, 'created_at', memory.created_at, 'updated_at', memory.updated_at,
    'expires_at', memory.expires_at, 'deleted_at', memory.deleted_at, 'seq', memory.seq,
    'hlc', jsonb_build_object('ms', memory.hlc_ms, 'counter', memory.hlc_counter, 'writer', memory.hlc_writer))
$$;

create or replace function federation.memory_json(memory public.agent_memories)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select federation.memory_facts(memory) || jsonb_build_object(
    'content', memory.content, 'embedding', memory.embedding::text::jsonb, 'metadata', memory.metadata, 'source', memory.source)
$$;

-- The same as JSON text, for many at once: an embedding is a JSON array already, and need not become numbers again.
create or replace function federation.memory_text(memory public.agent_memories)
returns text
language sql stable
as $$
  select concat(
    left(federation.memory_facts(memory)::text, -1), ', "content": ', coalesce(to_json(memory.content)::text, 'null'),
    ', "embedding": ', coalesce(memory.embedding::text, 'null'), ', "metadata": ', memory.metadata,
    ', "source": ', coalesce(memory.source::text, 'null'), '}')
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.is_later', members);
  perform federation.hand_out('federation.latest_clock_ms', members);
  perform federation.hand_out('federation.is_no_write', members);
  perform federation.hand_out('federation.memory_facts', members);
  perform federation.hand_out('federation.memory_json', members);
  perform federation.hand_out('federation.memory_text', members);
  perform federation.hand_out('federation.prepare_memory', '{}');
end
$$;
