-- Generated from a database with all migrations by scripts/schema-write.ts; do not edit.

-- roles
create role federation_definer nologin;

-- schema federation
create schema federation authorization postgres;
grant usage on schema federation to authenticated;
grant usage on schema federation to federation_definer;
grant usage on schema federation to service_role;

-- rights of the definer role elsewhere
usage on schema extensions
usage on schema public

-- sequences
create sequence federation.change_seq as bigint owner postgres;
grant usage on sequence federation.change_seq to authenticated;
grant usage on sequence federation.change_seq to federation_definer;
grant usage on sequence federation.change_seq to service_role;
create sequence federation.lock_fence as bigint owner postgres;
grant usage on sequence federation.lock_fence to federation_definer;
create sequence federation.session_news_news_id_seq as bigint owner postgres;

-- tables

create table federation.feed_places ( -- owner postgres, row level security on
  tenant_id text not null,
  agent_id text not null,
  epoch text not null,
  tx xid8 not null,
  seq bigint not null,
  cursor text not null,
  moved_at timestamp with time zone not null default now(),
  starts integer not null default 0,
  memory_cursor text,
  memory_at timestamp with time zone
);
comment on table federation.feed_places is 'Up to where each agent has handled what was said to everybody.';
alter table federation.feed_places add constraint feed_places_pkey PRIMARY KEY (tenant_id, agent_id);
alter table federation.feed_places add constraint feed_places_agent_id_check CHECK ((agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table federation.feed_places add constraint feed_places_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
grant delete, insert, select, update on table federation.feed_places to federation_definer;

create table federation.hidden_memories ( -- owner postgres, row level security on
  tenant_id text not null,
  id text not null,
  lost_by text not null,
  agent_id text not null,
  version bigint not null,
  hlc_ms bigint not null,
  hlc_counter integer not null,
  hlc_writer text not null,
  hidden_at timestamp with time zone not null default now(),
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass)
);
comment on table federation.hidden_memories is 'Memories that became another agent''s own, for those who could read them: id and clock.';
alter table federation.hidden_memories add constraint hidden_memories_pkey PRIMARY KEY (tenant_id, id, lost_by);
CREATE INDEX hidden_memories_age ON federation.hidden_memories USING btree (hidden_at);
CREATE INDEX hidden_memories_cursor ON federation.hidden_memories USING btree (tenant_id, tx, seq);
grant delete, insert, select, update on table federation.hidden_memories to federation_definer;

create table federation.inbox_turns ( -- owner postgres, row level security on
  tenant_id text not null,
  agent_id text not null,
  session_id text not null,
  asked_at timestamp with time zone
);
comment on table federation.inbox_turns is 'Which process of an agent handles its messages.';
alter table federation.inbox_turns add constraint inbox_turns_pkey PRIMARY KEY (tenant_id, agent_id);
alter table federation.inbox_turns add constraint inbox_turns_tenant_id_session_id_fkey FOREIGN KEY (tenant_id, session_id) REFERENCES public.agent_sessions(tenant_id, session_id) ON DELETE CASCADE;
alter table federation.inbox_turns add constraint inbox_turns_agent_id_check CHECK ((agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table federation.inbox_turns add constraint inbox_turns_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
CREATE INDEX inbox_turns_session ON federation.inbox_turns USING btree (tenant_id, session_id);
grant insert, select, update on table federation.inbox_turns to federation_definer;

create table federation.pull_floors ( -- owner postgres, row level security on
  tenant_hash text not null,
  tx xid8 not null,
  seq bigint not null
);
comment on table federation.pull_floors is 'Cursors before this place may have missed a removal.';
alter table federation.pull_floors add constraint pull_floors_pkey PRIMARY KEY (tenant_hash);
grant delete, insert, select, update on table federation.pull_floors to federation_definer;

create table federation.session_news ( -- owner postgres, row level security on
  news_id bigint not null,
  tenant_id text not null,
  session_id text not null
);
comment on table federation.session_news is 'Sessions of large rooms that changed and were not told yet.';
alter table federation.session_news add constraint session_news_pkey PRIMARY KEY (news_id);
alter table federation.session_news add constraint session_news_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
CREATE INDEX session_news_tenant ON federation.session_news USING btree (tenant_id, news_id);
grant delete, insert, select, update on table federation.session_news to federation_definer;

create table federation.sync_settings ( -- owner postgres, row level security on
  only_one boolean not null default true,
  epoch uuid not null default gen_random_uuid(),
  tombstones_kept interval not null default '30 days'::interval,
  messages_kept interval not null default '30 days'::interval,
  max_hops integer not null default 32,
  waiting_kept interval,
  events_kept interval not null default '30 days'::interval,
  messages_per_minute integer not null default 60000
);
comment on table federation.sync_settings is 'One row: what cursors of this database begin with; how long tombstones, messages and events stay; how long a chain of messages may be, and how many an agent may send in a minute.';
alter table federation.sync_settings add constraint sync_settings_pkey PRIMARY KEY (only_one);
alter table federation.sync_settings add constraint sync_settings_events_kept_check CHECK ((events_kept >= '1 day'::interval));
alter table federation.sync_settings add constraint sync_settings_max_hops_check CHECK (((max_hops >= 1) AND (max_hops <= 1000000)));
alter table federation.sync_settings add constraint sync_settings_messages_kept_check CHECK ((messages_kept >= '1 day'::interval));
alter table federation.sync_settings add constraint sync_settings_messages_per_minute_check CHECK (((messages_per_minute >= 1) AND (messages_per_minute <= 100000000)));
alter table federation.sync_settings add constraint sync_settings_only_one_check CHECK (only_one);
alter table federation.sync_settings add constraint sync_settings_tombstones_kept_check CHECK ((tombstones_kept >= '1 day'::interval));
alter table federation.sync_settings add constraint sync_settings_waiting_kept_check CHECK ((waiting_kept >= '1 day'::interval));
grant delete, insert, select, update on table federation.sync_settings to federation_definer;

create table federation.upkeep ( -- owner postgres, row level security on
  tenant_id text not null,
  swept_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
  told_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
  messages_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
  told_seq bigint not null default 0
);
comment on table federation.upkeep is 'When a tenant was swept, when its sessions were told last, and up to which change.';
alter table federation.upkeep add constraint upkeep_pkey PRIMARY KEY (tenant_id);
alter table federation.upkeep add constraint upkeep_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
grant delete, insert, select, update on table federation.upkeep to federation_definer;

create table public.agent_events ( -- owner postgres, row level security on
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null,
  agent_id text,
  kind text not null,
  subject text,
  peer text,
  private boolean not null default false,
  created_at timestamp with time zone not null default now(),
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass)
);
comment on table public.agent_events is 'Who did what and when in a tenant, without content.';
alter table public.agent_events add constraint agent_events_pkey PRIMARY KEY (row_id);
alter table public.agent_events add constraint agent_events_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
CREATE INDEX agent_events_tenant_agent ON public.agent_events USING btree (tenant_id, agent_id);
CREATE INDEX agent_events_tenant_seq ON public.agent_events USING btree (tenant_id, seq);
grant select on table public.agent_events to authenticated;
grant delete, insert, select, update on table public.agent_events to federation_definer;
grant delete, insert, select, update on table public.agent_events to service_role;
alter publication supabase_realtime add table public.agent_events;

create table public.agent_locks ( -- owner postgres, row level security on
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null,
  name text not null,
  holder text not null,
  instance_id text not null,
  fence bigint not null,
  taken_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null
);
comment on table public.agent_locks is 'Locks that are held, or have run out and were not swept yet.';
alter table public.agent_locks add constraint agent_locks_tenant_id_name_key UNIQUE (tenant_id, name);
alter table public.agent_locks add constraint agent_locks_pkey PRIMARY KEY (row_id);
alter table public.agent_locks add constraint agent_locks_holder_check CHECK ((holder ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_locks add constraint agent_locks_instance_id_check CHECK (((octet_length(instance_id) >= 1) AND (octet_length(instance_id) <= 255)));
alter table public.agent_locks add constraint agent_locks_name_check CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 1024)));
alter table public.agent_locks add constraint agent_locks_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
CREATE INDEX agent_locks_age ON public.agent_locks USING btree (expires_at);
grant select on table public.agent_locks to authenticated;
grant delete, insert, select, update on table public.agent_locks to federation_definer;
grant delete, insert, select, update on table public.agent_locks to service_role;

create table public.agent_memories ( -- owner postgres, row level security on
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id(),
  id text not null,
  agent_id text not null default federation.agent_id(),
  session_id text,
  content text,
  embedding_model text,
  metadata jsonb not null default '{}'::jsonb,
  source jsonb,
  scope text not null default 'tenant'::text,
  written_by text,
  content_hash text,
  supersedes text,
  superseded_by text,
  valid_from timestamp with time zone,
  valid_to timestamp with time zone,
  version bigint not null default 1,
  hlc_ms bigint not null default 0,
  hlc_counter integer not null default 0,
  hlc_writer text not null default ''::text,
  traceparent text,
  correlation_id text,
  instance_id text,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone,
  deleted_at timestamp with time zone,
  words tsvector generated always as (to_tsvector('simple'::regconfig, "left"(COALESCE(content, ''::text), 100000))) stored,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass),
  embedding extensions.vector,
  session_agent text
);
comment on table public.agent_memories is 'Memories of a tenant''s agents, with embeddings of any dimension.';
alter table public.agent_memories add constraint agent_memories_tenant_id_id_key UNIQUE (tenant_id, id);
alter table public.agent_memories add constraint agent_memories_pkey PRIMARY KEY (row_id);
alter table public.agent_memories add constraint agent_memories_agent_id_check CHECK ((agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_memories add constraint agent_memories_content_check CHECK ((octet_length(content) <= 1048576));
alter table public.agent_memories add constraint agent_memories_content_or_tombstone CHECK (((content IS NULL) = (deleted_at IS NOT NULL)));
alter table public.agent_memories add constraint agent_memories_correlation_id_check CHECK ((octet_length(correlation_id) <= 255));
alter table public.agent_memories add constraint agent_memories_embedding_model_check CHECK ((octet_length(embedding_model) <= 255));
alter table public.agent_memories add constraint agent_memories_embedding_not_zero CHECK ((extensions.vector_norm(embedding) > (0)::double precision));
alter table public.agent_memories add constraint agent_memories_hlc_counter_check CHECK ((hlc_counter >= 0));
alter table public.agent_memories add constraint agent_memories_hlc_ms_check CHECK ((hlc_ms >= 0));
alter table public.agent_memories add constraint agent_memories_id_check CHECK (((octet_length(id) >= 1) AND (octet_length(id) <= 255)));
alter table public.agent_memories add constraint agent_memories_instance_id_check CHECK ((octet_length(instance_id) <= 255));
alter table public.agent_memories add constraint agent_memories_metadata_check CHECK ((octet_length((metadata)::text) <= 1048576));
alter table public.agent_memories add constraint agent_memories_scope_check CHECK ((scope = ANY (ARRAY['agent'::text, 'session'::text, 'tenant'::text])));
alter table public.agent_memories add constraint agent_memories_session_id_check CHECK ((octet_length(session_id) <= 255));
alter table public.agent_memories add constraint agent_memories_source_check CHECK ((octet_length((source)::text) <= 1048576));
alter table public.agent_memories add constraint agent_memories_superseded_by_check CHECK ((octet_length(superseded_by) <= 255));
alter table public.agent_memories add constraint agent_memories_supersedes_check CHECK ((octet_length(supersedes) <= 255));
alter table public.agent_memories add constraint agent_memories_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_memories add constraint agent_memories_traceparent_check CHECK ((octet_length(traceparent) <= 255));
CREATE INDEX agent_memories_agent ON public.agent_memories USING btree (tenant_id, agent_id, created_at DESC, seq DESC);
CREATE INDEX agent_memories_cursor ON public.agent_memories USING btree (tenant_id, tx, seq);
CREATE INDEX agent_memories_expiry ON public.agent_memories USING btree (tenant_id, expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX agent_memories_feed ON public.agent_memories USING btree (tenant_id, seq) WHERE (scope <> 'agent'::text);
CREATE INDEX agent_memories_newest ON public.agent_memories USING btree (tenant_id, created_at DESC, seq DESC) WHERE ((deleted_at IS NULL) AND (superseded_by IS NULL));
CREATE INDEX agent_memories_same_content ON public.agent_memories USING btree (tenant_id, agent_id, content_hash) WHERE (deleted_at IS NULL);
CREATE INDEX agent_memories_session_agent ON public.agent_memories USING btree (tenant_id, session_agent) WHERE (session_agent IS NOT NULL);
CREATE INDEX agent_memories_superseding ON public.agent_memories USING btree (tenant_id, supersedes) WHERE (supersedes IS NOT NULL);
CREATE INDEX agent_memories_tombstones ON public.agent_memories USING btree (tenant_id, updated_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX agent_memories_words ON public.agent_memories USING gin (words);
CREATE TRIGGER note_lost AFTER UPDATE ON public.agent_memories FOR EACH ROW WHEN ((((((old.tenant_id IS DISTINCT FROM new.tenant_id) OR (old.id IS DISTINCT FROM new.id)) OR (old.agent_id IS DISTINCT FROM new.agent_id)) OR (old.scope IS DISTINCT FROM new.scope)) OR (old.session_agent IS DISTINCT FROM new.session_agent))) EXECUTE FUNCTION federation.note_lost();
CREATE TRIGGER note_removals AFTER DELETE ON public.agent_memories REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.note_removals();
CREATE TRIGGER prepare BEFORE INSERT OR UPDATE ON public.agent_memories FOR EACH ROW EXECUTE FUNCTION federation.prepare_memory();
CREATE TRIGGER tell_delete AFTER DELETE ON public.agent_memories REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.tell_memories();
CREATE TRIGGER tell_insert AFTER INSERT ON public.agent_memories REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.tell_memories();
CREATE TRIGGER tell_update AFTER UPDATE ON public.agent_memories REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.tell_memories();
grant insert, select, update on table public.agent_memories to authenticated;
grant delete, insert, select, update on table public.agent_memories to federation_definer;
grant delete, insert, select, update on table public.agent_memories to service_role;
alter publication supabase_realtime add table public.agent_memories;

create table public.agent_message_failures ( -- owner postgres, row level security on
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null,
  agent_id text not null,
  message_row uuid not null,
  delivery_attempt integer not null default 1,
  last_error text,
  dead_at timestamp with time zone,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass)
);
comment on table public.agent_message_failures is 'Messages to everybody that an agent gave up, or has taken out of its dead letters and not handled yet.';
alter table public.agent_message_failures add constraint agent_message_failures_message_row_agent_id_key UNIQUE (message_row, agent_id);
alter table public.agent_message_failures add constraint agent_message_failures_pkey PRIMARY KEY (row_id);
alter table public.agent_message_failures add constraint agent_message_failures_message_row_fkey FOREIGN KEY (message_row) REFERENCES public.agent_messages(row_id) ON DELETE CASCADE;
alter table public.agent_message_failures add constraint agent_message_failures_agent_id_check CHECK ((agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_message_failures add constraint agent_message_failures_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
CREATE INDEX agent_message_failures_agent ON public.agent_message_failures USING btree (tenant_id, agent_id);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON public.agent_message_failures FOR EACH ROW EXECUTE FUNCTION federation.stamp();
grant select on table public.agent_message_failures to authenticated;
grant delete, insert, select, update on table public.agent_message_failures to federation_definer;
grant delete, insert, select, update on table public.agent_message_failures to service_role;

create table public.agent_messages ( -- owner postgres, row level security on
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id(),
  id text not null,
  from_agent text not null default federation.agent_id(),
  to_agent text,
  type text not null,
  payload jsonb not null,
  created_at timestamp with time zone not null default now(),
  delivered_at timestamp with time zone,
  handled_at timestamp with time zone,
  dead_at timestamp with time zone,
  delivery_attempt integer not null default 0,
  last_error text,
  sender_seq bigint,
  instance_id text,
  hop_count integer not null default 0,
  correlation_id text,
  reply_to text,
  traceparent text,
  expires_at timestamp with time zone,
  version bigint not null default 1,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass),
  receipts boolean not null default false
);
comment on table public.agent_messages is 'Messages between agents, to one of them or to all.';
alter table public.agent_messages add constraint agent_messages_tenant_id_id_key UNIQUE (tenant_id, id);
alter table public.agent_messages add constraint agent_messages_pkey PRIMARY KEY (row_id);
alter table public.agent_messages add constraint agent_messages_correlation_id_check CHECK ((octet_length(correlation_id) <= 255));
alter table public.agent_messages add constraint agent_messages_from_agent_check CHECK ((from_agent ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_messages add constraint agent_messages_hop_count_check CHECK ((hop_count >= 0));
alter table public.agent_messages add constraint agent_messages_id_check CHECK (((octet_length(id) >= 1) AND (octet_length(id) <= 255)));
alter table public.agent_messages add constraint agent_messages_instance_id_check CHECK ((octet_length(instance_id) <= 255));
alter table public.agent_messages add constraint agent_messages_reply_to_check CHECK ((octet_length(reply_to) <= 255));
alter table public.agent_messages add constraint agent_messages_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_messages add constraint agent_messages_to_agent_check CHECK ((to_agent ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_messages add constraint agent_messages_traceparent_check CHECK ((octet_length(traceparent) <= 255));
alter table public.agent_messages add constraint agent_messages_type_check CHECK (((octet_length(type) >= 1) AND (octet_length(type) <= 255)));
alter table public.agent_messages add constraint receipts_are_not_sent CHECK ((type <> 'receipt'::text)) NOT VALID;
CREATE INDEX agent_messages_cursor ON public.agent_messages USING btree (tenant_id, tx, seq);
CREATE INDEX agent_messages_dead ON public.agent_messages USING btree (tenant_id, to_agent, seq) WHERE (dead_at IS NOT NULL);
CREATE INDEX agent_messages_expiring ON public.agent_messages USING btree (tenant_id, expires_at) WHERE ((expires_at IS NOT NULL) AND (handled_at IS NULL));
CREATE INDEX agent_messages_feed ON public.agent_messages USING btree (tenant_id, tx, seq) WHERE (to_agent IS NULL);
CREATE INDEX agent_messages_from ON public.agent_messages USING btree (tenant_id, from_agent, seq);
CREATE INDEX agent_messages_handled ON public.agent_messages USING btree (tenant_id, handled_at) WHERE (handled_at IS NOT NULL);
CREATE INDEX agent_messages_pending ON public.agent_messages USING btree (tenant_id, to_agent, seq) WHERE ((to_agent IS NOT NULL) AND (handled_at IS NULL) AND (dead_at IS NULL));
CREATE INDEX agent_messages_replies ON public.agent_messages USING btree (tenant_id, reply_to) WHERE (reply_to IS NOT NULL);
CREATE INDEX agent_messages_to ON public.agent_messages USING btree (tenant_id, to_agent, seq);
CREATE TRIGGER stamp BEFORE INSERT ON public.agent_messages FOR EACH ROW EXECUTE FUNCTION federation.stamp();
CREATE TRIGGER tell_insert AFTER INSERT ON public.agent_messages REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.tell_messages();
CREATE TRIGGER tell_receipt AFTER UPDATE OF delivered_at, handled_at, dead_at ON public.agent_messages FOR EACH ROW WHEN (new.receipts) EXECUTE FUNCTION federation.tell_receipt();
CREATE TRIGGER version BEFORE INSERT OR UPDATE ON public.agent_messages FOR EACH ROW EXECUTE FUNCTION federation.count_version();
grant select on table public.agent_messages to authenticated;
grant delete, insert, select, update on table public.agent_messages to federation_definer;
grant delete, insert, select, update on table public.agent_messages to service_role;

create table public.agent_sessions ( -- owner postgres, row level security on, fillfactor=80
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id(),
  session_id text not null,
  agent_id text not null default federation.agent_id(),
  instance_id text,
  status text not null default 'online'::text,
  task text,
  capabilities text[] not null default '{}'::text[],
  load real,
  metadata jsonb not null default '{}'::jsonb,
  started_at timestamp with time zone not null default now(),
  last_seen_at timestamp with time zone not null default now(),
  timeout_seconds integer not null default 90,
  ended_at timestamp with time zone,
  end_reason text,
  version bigint not null default 1,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass)
);
comment on table public.agent_sessions is 'The processes of a tenant''s agents, kept alive by heartbeats.';
alter table public.agent_sessions add constraint agent_sessions_tenant_id_session_id_key UNIQUE (tenant_id, session_id);
alter table public.agent_sessions add constraint agent_sessions_pkey PRIMARY KEY (row_id);
alter table public.agent_sessions add constraint agent_sessions_agent_id_check CHECK ((agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_sessions add constraint agent_sessions_end_reason_check CHECK ((octet_length(end_reason) <= 255));
alter table public.agent_sessions add constraint agent_sessions_instance_id_check CHECK ((octet_length(instance_id) <= 255));
alter table public.agent_sessions add constraint agent_sessions_metadata_check CHECK ((jsonb_typeof(metadata) = 'object'::text));
alter table public.agent_sessions add constraint agent_sessions_session_id_check CHECK (((octet_length(session_id) >= 1) AND (octet_length(session_id) <= 255)));
alter table public.agent_sessions add constraint agent_sessions_status_check CHECK (((octet_length(status) >= 1) AND (octet_length(status) <= 64)));
alter table public.agent_sessions add constraint agent_sessions_task_check CHECK ((octet_length(task) <= 65536));
alter table public.agent_sessions add constraint agent_sessions_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_sessions add constraint agent_sessions_timeout_seconds_check CHECK (((timeout_seconds >= 1) AND (timeout_seconds <= 86400)));
CREATE INDEX agent_sessions_agent ON public.agent_sessions USING btree (tenant_id, agent_id, started_at);
CREATE INDEX agent_sessions_cursor ON public.agent_sessions USING btree (tenant_id, seq);
CREATE INDEX agent_sessions_open ON public.agent_sessions USING btree (tenant_id, agent_id) WHERE (ended_at IS NULL);
CREATE TRIGGER stamp_insert BEFORE INSERT ON public.agent_sessions FOR EACH ROW EXECUTE FUNCTION federation.stamp();
CREATE TRIGGER stamp_update BEFORE UPDATE ON public.agent_sessions FOR EACH ROW WHEN ((((((((((((old.agent_id IS DISTINCT FROM new.agent_id) OR (old.instance_id IS DISTINCT FROM new.instance_id)) OR (old.status IS DISTINCT FROM new.status)) OR (old.task IS DISTINCT FROM new.task)) OR (old.capabilities IS DISTINCT FROM new.capabilities)) OR (old.load IS DISTINCT FROM new.load)) OR (old.metadata IS DISTINCT FROM new.metadata)) OR (old.started_at IS DISTINCT FROM new.started_at)) OR (old.timeout_seconds IS DISTINCT FROM new.timeout_seconds)) OR (old.ended_at IS DISTINCT FROM new.ended_at)) OR (old.end_reason IS DISTINCT FROM new.end_reason))) EXECUTE FUNCTION federation.stamp();
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON public.agent_sessions FOR EACH ROW EXECUTE FUNCTION federation.tell_session();
CREATE TRIGGER version_insert BEFORE INSERT ON public.agent_sessions FOR EACH ROW EXECUTE FUNCTION federation.count_version();
CREATE TRIGGER version_update BEFORE UPDATE ON public.agent_sessions FOR EACH ROW WHEN ((((((((((((old.agent_id IS DISTINCT FROM new.agent_id) OR (old.instance_id IS DISTINCT FROM new.instance_id)) OR (old.status IS DISTINCT FROM new.status)) OR (old.task IS DISTINCT FROM new.task)) OR (old.capabilities IS DISTINCT FROM new.capabilities)) OR (old.load IS DISTINCT FROM new.load)) OR (old.metadata IS DISTINCT FROM new.metadata)) OR (old.started_at IS DISTINCT FROM new.started_at)) OR (old.timeout_seconds IS DISTINCT FROM new.timeout_seconds)) OR (old.ended_at IS DISTINCT FROM new.ended_at)) OR (old.end_reason IS DISTINCT FROM new.end_reason))) EXECUTE FUNCTION federation.count_version();
grant select on table public.agent_sessions to authenticated;
grant delete, insert, select, update on table public.agent_sessions to federation_definer;
grant delete, insert, select, update on table public.agent_sessions to service_role;
alter publication supabase_realtime add table public.agent_sessions;

create table public.agent_task_queue ( -- owner postgres, row level security on
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null,
  task_row uuid not null,
  assigned_to text,
  capability text,
  priority smallint not null default 2,
  ready_at timestamp with time zone not null default now(),
  lease_until timestamp with time zone,
  fence bigint not null default 0,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass),
  lane text generated always as (
CASE
    WHEN (assigned_to IS NULL) THEN ('able '::text || COALESCE(capability, ''::text))
    ELSE ('agent '::text || assigned_to)
END) stored,
  look_from xid8,
  claim_id uuid
);
comment on table public.agent_task_queue is 'What can be claimed: one row per task that has not ended.';
alter table public.agent_task_queue add constraint agent_task_queue_task_row_key UNIQUE (task_row);
alter table public.agent_task_queue add constraint agent_task_queue_pkey PRIMARY KEY (row_id);
alter table public.agent_task_queue add constraint agent_task_queue_task_row_fkey FOREIGN KEY (task_row) REFERENCES public.agent_tasks(row_id) ON DELETE CASCADE;
alter table public.agent_task_queue add constraint agent_task_queue_priority_check CHECK (((priority >= 0) AND (priority <= 3)));
alter table public.agent_task_queue add constraint agent_task_queue_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
CREATE INDEX agent_task_queue_claim ON public.agent_task_queue USING btree (tenant_id, claim_id) WHERE (claim_id IS NOT NULL);
CREATE INDEX agent_task_queue_held ON public.agent_task_queue USING btree (tenant_id, look_from) WHERE (look_from IS NOT NULL);
CREATE INDEX agent_task_queue_leases ON public.agent_task_queue USING btree (tenant_id, lease_until) WHERE (lease_until IS NOT NULL);
CREATE INDEX agent_task_queue_news ON public.agent_task_queue USING btree (tenant_id, assigned_to, seq);
CREATE INDEX agent_task_queue_oldest ON public.agent_task_queue USING btree (tenant_id, lane, ready_at) WHERE ((lease_until IS NULL) AND (ready_at < 'infinity'::timestamp with time zone));
CREATE INDEX agent_task_queue_urgent ON public.agent_task_queue USING btree (tenant_id, lane, priority, ready_at) WHERE ((lease_until IS NULL) AND (ready_at < 'infinity'::timestamp with time zone));
CREATE TRIGGER hold BEFORE INSERT ON public.agent_task_queue FOR EACH ROW EXECUTE FUNCTION federation.hold_dependent();
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON public.agent_task_queue FOR EACH ROW EXECUTE FUNCTION federation.stamp();
CREATE TRIGGER wake_insert AFTER INSERT ON public.agent_task_queue REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.wake_workers();
CREATE TRIGGER wake_update AFTER UPDATE ON public.agent_task_queue REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.wake_workers();
grant select on table public.agent_task_queue to authenticated;
grant delete, insert, select, update on table public.agent_task_queue to federation_definer;
grant delete, insert, select, update on table public.agent_task_queue to service_role;

create table public.agent_tasks ( -- owner postgres, row level security on
  row_id uuid not null default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id(),
  task_id text not null,
  assigned_by text not null,
  assigned_to text,
  capability text,
  description text not null,
  priority text not null default 'medium'::text,
  deadline timestamp with time zone,
  dependencies text[] not null default '{}'::text[],
  details jsonb not null default '{}'::jsonb,
  status text not null default 'pending'::text,
  attempt integer not null default 0,
  max_attempts integer not null default 3,
  fence bigint not null default 0,
  lease_until timestamp with time zone,
  lease_agent text,
  instance_id text,
  progress real,
  last_progress_at timestamp with time zone,
  checkpoint jsonb,
  result jsonb,
  superseded_results jsonb not null default '[]'::jsonb,
  error text,
  content_hash text not null,
  hop_count integer not null default 0,
  correlation_id text,
  reply_to text,
  traceparent text,
  created_at timestamp with time zone not null default now(),
  started_at timestamp with time zone,
  ended_at timestamp with time zone,
  expires_at timestamp with time zone,
  version bigint not null default 1,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'::regclass),
  holders text[] not null default '{}'::text[],
  progress_note text,
  question text,
  answer jsonb
);
comment on table public.agent_tasks is 'Tasks of a tenant, ended ones included, so that a task id stays one task.';
alter table public.agent_tasks add constraint agent_tasks_tenant_id_task_id_key UNIQUE (tenant_id, task_id);
alter table public.agent_tasks add constraint agent_tasks_pkey PRIMARY KEY (row_id);
alter table public.agent_tasks add constraint agent_tasks_assigned_by_check CHECK ((assigned_by ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_tasks add constraint agent_tasks_assigned_to_check CHECK ((assigned_to ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_tasks add constraint agent_tasks_attempt_check CHECK ((attempt >= 0));
alter table public.agent_tasks add constraint agent_tasks_capability_check CHECK (((octet_length(capability) >= 1) AND (octet_length(capability) <= 255)));
alter table public.agent_tasks add constraint agent_tasks_correlation_id_check CHECK ((octet_length(correlation_id) <= 255));
alter table public.agent_tasks add constraint agent_tasks_description_check CHECK ((octet_length(description) <= 1048576));
alter table public.agent_tasks add constraint agent_tasks_details_check CHECK ((jsonb_typeof(details) = 'object'::text));
alter table public.agent_tasks add constraint agent_tasks_hop_count_check CHECK ((hop_count >= 0));
alter table public.agent_tasks add constraint agent_tasks_instance_id_check CHECK ((octet_length(instance_id) <= 255));
alter table public.agent_tasks add constraint agent_tasks_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 1000)));
alter table public.agent_tasks add constraint agent_tasks_priority_check CHECK ((priority = ANY (ARRAY['critical'::text, 'high'::text, 'medium'::text, 'low'::text])));
alter table public.agent_tasks add constraint agent_tasks_progress_check CHECK (((progress >= (0)::double precision) AND (progress <= (1)::double precision)));
alter table public.agent_tasks add constraint agent_tasks_reply_to_check CHECK ((octet_length(reply_to) <= 255));
alter table public.agent_tasks add constraint agent_tasks_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'assigned'::text, 'in_progress'::text, 'input_required'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'dead'::text])));
alter table public.agent_tasks add constraint agent_tasks_task_id_check CHECK (((octet_length(task_id) >= 1) AND (octet_length(task_id) <= 255)));
alter table public.agent_tasks add constraint agent_tasks_tenant_id_check CHECK ((tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'::text));
alter table public.agent_tasks add constraint agent_tasks_traceparent_check CHECK ((octet_length(traceparent) <= 255));
CREATE INDEX agent_tasks_due ON public.agent_tasks USING btree (tenant_id, LEAST(deadline, expires_at)) WHERE ((ended_at IS NULL) AND ((deadline IS NOT NULL) OR (expires_at IS NOT NULL)));
CREATE INDEX agent_tasks_open ON public.agent_tasks USING btree (tenant_id, status) WHERE (ended_at IS NULL);
CREATE INDEX agent_tasks_seq ON public.agent_tasks USING btree (tenant_id, seq);
CREATE INDEX agent_tasks_waiting ON public.agent_tasks USING btree (tenant_id) WHERE ((ended_at IS NULL) AND (dependencies <> '{}'::text[]));
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON public.agent_tasks FOR EACH ROW EXECUTE FUNCTION federation.stamp();
CREATE TRIGGER tell_insert AFTER INSERT ON public.agent_tasks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.tell_tasks();
CREATE TRIGGER tell_update AFTER UPDATE ON public.agent_tasks REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION federation.tell_tasks();
CREATE TRIGGER version BEFORE INSERT OR UPDATE ON public.agent_tasks FOR EACH ROW EXECUTE FUNCTION federation.count_version();
grant select on table public.agent_tasks to authenticated;
grant delete, insert, select, update on table public.agent_tasks to federation_definer;
grant delete, insert, select, update on table public.agent_tasks to service_role;
alter publication supabase_realtime add table public.agent_tasks;

-- policies
create policy "functions, in the tenant they act for" on federation.feed_places as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy functions on federation.hidden_memories as permissive for all to federation_definer
  using true
  with check true;
create policy "functions, in the tenant they act for" on federation.inbox_turns as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy functions on federation.pull_floors as permissive for all to federation_definer
  using true
  with check true;
create policy "functions, in the tenant they act for" on federation.session_news as permissive for all to federation_definer
  using (tenant_id = COALESCE(( SELECT federation.tenant_id() AS tenant_id), tenant_id))
  with check true;
create policy functions on federation.sync_settings as permissive for all to federation_definer
  using true
  with check true;
create policy "functions, in the tenant they act for" on federation.upkeep as permissive for all to federation_definer
  using (tenant_id = COALESCE(( SELECT federation.tenant_id() AS tenant_id), tenant_id))
  with check true;
create policy "functions, in the tenant they act for" on public.agent_events as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check true;
create policy "members read" on public.agent_events as permissive for select to authenticated
  using ((tenant_id = ( SELECT federation.tenant_id() AS tenant_id)) AND ((NOT private) OR (agent_id = ( SELECT federation.agent_id() AS agent_id))));
create policy "functions, in the tenant they act for" on public.agent_locks as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "members read" on public.agent_locks as permissive for select to authenticated
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "functions, in the tenant they act for" on public.agent_memories as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "members add their own" on public.agent_memories as permissive for insert to authenticated
  with check ((tenant_id = ( SELECT federation.tenant_id() AS tenant_id)) AND (agent_id = ( SELECT federation.agent_id() AS agent_id)) AND (written_by = ( SELECT federation.agent_id() AS agent_id)));
create policy "members change their own" on public.agent_memories as permissive for update to authenticated
  using ((tenant_id = ( SELECT federation.tenant_id() AS tenant_id)) AND (agent_id = ( SELECT federation.agent_id() AS agent_id)))
  with check ((tenant_id = ( SELECT federation.tenant_id() AS tenant_id)) AND (agent_id = ( SELECT federation.agent_id() AS agent_id)) AND (written_by = ( SELECT federation.agent_id() AS agent_id)));
create policy "members read what its scope admits them to" on public.agent_memories as permissive for select to authenticated
  using ((tenant_id = ( SELECT federation.tenant_id() AS tenant_id)) AND ((scope = 'tenant'::text) OR (agent_id = ( SELECT federation.agent_id() AS agent_id)) OR (session_agent = ( SELECT federation.agent_id() AS agent_id))));
create policy "functions, in the tenant they act for" on public.agent_message_failures as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "members read their own" on public.agent_message_failures as permissive for select to authenticated
  using ((tenant_id = ( SELECT federation.tenant_id() AS tenant_id)) AND (agent_id = ( SELECT federation.agent_id() AS agent_id)));
create policy "functions, in the tenant they act for" on public.agent_messages as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "members read what they sent and what is for them" on public.agent_messages as permissive for select to authenticated
  using ((tenant_id = ( SELECT federation.tenant_id() AS tenant_id)) AND ((to_agent IS NULL) OR (to_agent = ( SELECT federation.agent_id() AS agent_id)) OR (from_agent = ( SELECT federation.agent_id() AS agent_id))));
create policy "functions, in the tenant they act for" on public.agent_sessions as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "members read" on public.agent_sessions as permissive for select to authenticated
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "functions, in the tenant they act for" on public.agent_task_queue as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "members read" on public.agent_task_queue as permissive for select to authenticated
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "functions, in the tenant they act for" on public.agent_tasks as permissive for all to federation_definer
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id))
  with check (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "members read" on public.agent_tasks as permissive for select to authenticated
  using (tenant_id = ( SELECT federation.tenant_id() AS tenant_id));
create policy "federation feeds and inboxes are written by the database only" on realtime.messages as restrictive for insert to authenticated
  with check ((topic !~~ 'federation:%'::text) OR COALESCE((topic = ( SELECT federation.room_topic() AS room_topic)), false));
create policy "federation members read their room, feed and inbox" on realtime.messages as permissive for select to authenticated
  using (((extension = ANY (ARRAY['broadcast'::text, 'presence'::text])) AND (topic = ( SELECT federation.room_topic() AS room_topic))) OR ((extension = 'broadcast'::text) AND (topic = ANY (ARRAY[( SELECT federation.feed_topic() AS feed_topic), ( SELECT federation.inbox_topic() AS inbox_topic)]))));
create policy "federation members write their room" on realtime.messages as permissive for insert to authenticated
  with check ((extension = ANY (ARRAY['broadcast'::text, 'presence'::text])) AND (topic = ( SELECT federation.room_topic() AS room_topic)));
create policy "federation topics are never changed" on realtime.messages as restrictive for update to authenticated
  using (topic !~~ 'federation:%'::text);
create policy "federation topics are never removed" on realtime.messages as restrictive for delete to authenticated
  using (topic !~~ 'federation:%'::text);
create policy "federation topics are nothing for anon" on realtime.messages as restrictive for all to anon
  using (topic !~~ 'federation:%'::text);
create policy "federation topics are read by their members only" on realtime.messages as restrictive for select to authenticated
  using ((topic !~~ 'federation:%'::text) OR COALESCE((topic = ANY (ARRAY[( SELECT federation.room_topic() AS room_topic), ( SELECT federation.feed_topic() AS feed_topic), ( SELECT federation.inbox_topic() AS inbox_topic)])), false));

-- functions

CREATE OR REPLACE FUNCTION federation.act_as(as_agent text, as_tenant text, needs text DEFAULT 'agent'::text, OUT tenant text, OUT agent text, OUT outer_tenant text, OUT outer_agent text)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
begin
  outer_tenant := coalesce(current_setting('federation.tenant', true), '');
  outer_agent := coalesce(current_setting('federation.agent', true), '');
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    tenant := federation.tenant_id();
    agent := federation.agent_id();
    if tenant is null or agent is null then
      raise exception 'the token names no %: expected app_metadata.% of 1 to 128 characters A-Z a-z 0-9 . _ @ -',
        case when agent is null then 'agent' else 'tenant' end,
        case when agent is null then 'agent_id' else 'tenant_id' end using errcode = '42501';
    end if;
    if as_tenant <> tenant or as_agent <> agent then
      raise exception 'this token acts as agent % of tenant %, not as agent % of tenant %',
        agent, tenant, coalesce(as_agent, agent), coalesce(as_tenant, tenant) using errcode = '42501';
    end if;
    return;
  end if;
  perform federation.check_agent('as_tenant', as_tenant), federation.check_agent('as_agent', as_agent);
  -- Inside a function that acts for somebody, a call that names nobody acts for the same.
  perform set_config('federation.tenant', coalesce(as_tenant, outer_tenant), true),
          set_config('federation.agent', coalesce(as_agent, outer_agent), true);
  tenant := federation.tenant_id();
  agent := federation.agent_id();
  if tenant is null and needs <> 'nothing' then
    raise exception 'no tenant: name one with as_tenant' using errcode = '42501',
      hint = 'In a session without a token, set app.current_tenant works as well.';
  elsif agent is null and needs = 'agent' then
    raise exception 'no agent: name one with as_agent' using errcode = '42501',
      hint = 'In a session without a token, set app.current_agent works as well.';
  end if;
end
$function$
-- owner postgres
grant execute on function federation.act_as(text,text,text) to authenticated;
grant execute on function federation.act_as(text,text,text) to federation_definer;
grant execute on function federation.act_as(text,text,text) to service_role;
comment on function federation.act_as(text,text,text) is 'For whom an API function acts; refuses with 42501.';

CREATE OR REPLACE FUNCTION federation.agent_id()
 RETURNS text
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
  agent text;
begin
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    agent := coalesce(claims #>> '{app_metadata,agent_id}', 'user.' || (claims ->> 'sub'));
  else
    agent := nullif(current_setting('federation.agent', true), '');
    if agent is null and claims is null then
      agent := current_setting('app.current_agent', true);
    end if;
  end if;
  return case when agent ~ '^[A-Za-z0-9._@-]{1,128}$' then agent end;
end
$function$
-- owner postgres
grant execute on function federation.agent_id() to authenticated;
grant execute on function federation.agent_id() to federation_definer;
grant execute on function federation.agent_id() to service_role;
comment on function federation.agent_id() is 'The agent that asks, or null.';

CREATE OR REPLACE FUNCTION federation.announce(topic text, event text, payload jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if topic not like 'federation:%' then
    raise exception 'announce: expected a topic that begins with federation:, got %', topic using errcode = '22023';
  end if;
  perform realtime.send(payload, event, topic, true);
end
$function$
-- owner postgres
grant execute on function federation.announce(text,text,jsonb) to federation_definer;
comment on function federation.announce(text,text,jsonb) is 'Broadcasts to feed or inbox once the transaction commits.';

CREATE OR REPLACE FUNCTION federation.announce_memories(op text, tenant text, reader text, ids text[], memories jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  topic text := 'federation:' || tenant || coalesce(':agent:' || reader, ':feed');
begin
  if octet_length(memories::text) <= 199900 then -- null where they are too many to have been put together
    perform federation.announce(topic, 'memory', jsonb_build_object('op', op, 'memories', memories));
    return;
  end if;
  for part in 0 .. (cardinality(ids) - 1) / 500 loop
    perform federation.announce(topic, 'memory', jsonb_build_object(
      'op', op, 'ids', to_jsonb(ids[part * 500 + 1 : part * 500 + 500])));
  end loop;
end
$function$
-- owner postgres
grant execute on function federation.announce_memories(text,text,text,text[],jsonb) to federation_definer;
comment on function federation.announce_memories(text,text,text,text[],jsonb) is NULL;

CREATE OR REPLACE FUNCTION federation.announce_tasks(tenant text, news jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform federation.announce('federation:' || tenant || ':feed', 'tasks', jsonb_build_object('tasks', f.frame))
  from federation.frames_of(news) f(frame);
end
$function$
-- owner postgres
grant execute on function federation.announce_tasks(text,jsonb) to federation_definer;
comment on function federation.announce_tasks(text,jsonb) is NULL;

CREATE OR REPLACE FUNCTION federation.broadcast_receipt(message public.agent_messages)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  here text := federation.epoch();
  counts record;
  delivered_at timestamptz := message.delivered_at;
  handled_at timestamptz := message.handled_at;
  dead_at timestamptz;
begin
  select count(*) as recipients, count(p.agent_id) as passed_by, max(p.moved_at) as last_at,
    count(p.agent_id) filter (where f.row_id is null) as handled_by,
    count(f.dead_at) as failed_by, max(f.dead_at) as dead_at, max(f.delivery_attempt) as attempts,
    (array_agg(f.agent_id || ': ' || f.last_error order by f.dead_at desc) filter (where f.dead_at is not null))[1] as last_error
  into counts
  from (
    select distinct s.agent_id from public.agent_sessions s
    where s.tenant_id = message.tenant_id and s.agent_id <> message.from_agent and s.started_at <= message.created_at
      and (s.ended_at is null or s.ended_at > message.created_at)) r
  left join federation.feed_places p on p.tenant_id = message.tenant_id and p.agent_id = r.agent_id and p.epoch = here
    and (p.tx, p.seq) >= (message.tx, message.seq)
  left join public.agent_message_failures f on f.message_row = message.row_id and f.agent_id = r.agent_id;
  if counts.passed_by = counts.recipients then
    delivered_at := coalesce(delivered_at, greatest(counts.last_at, message.created_at)); -- at the latest
    if counts.handled_by = counts.recipients then
      handled_at := coalesce(handled_at, delivered_at);
    elsif counts.handled_by + counts.failed_by = counts.recipients then
      dead_at := counts.dead_at;
    end if;
  end if;
  return federation.receipt_json(message) || jsonb_build_object(
    'recipients', counts.recipients, 'handled_by', counts.handled_by, 'failed_by', counts.failed_by,
    'delivered_at', delivered_at, 'handled_at', handled_at, 'dead_at', dead_at,
    'delivery_attempt', coalesce(counts.attempts, message.delivery_attempt), 'last_error', counts.last_error);
end
$function$
-- owner federation_definer
grant execute on function federation.broadcast_receipt(public.agent_messages) to authenticated;
grant execute on function federation.broadcast_receipt(public.agent_messages) to service_role;
comment on function federation.broadcast_receipt(public.agent_messages) is 'How many were to hear a message to everybody, how many have handled it, and how many have given it up.';

CREATE OR REPLACE FUNCTION federation.check_agent(what text, value text)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if value !~ '^[A-Za-z0-9._@-]{1,128}$' then
    raise exception '%: expected 1 to 128 characters of A-Z a-z 0-9 . _ @ -, got %', what, quote_literal(left(value, 150))
      using errcode = '22023';
  end if;
  return value;
end
$function$
-- owner postgres
grant execute on function federation.check_agent(text,text) to authenticated;
grant execute on function federation.check_agent(text,text) to federation_definer;
grant execute on function federation.check_agent(text,text) to service_role;
comment on function federation.check_agent(text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.check_budget(message public.agent_messages)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  most integer := (select s.messages_per_minute from federation.sync_settings s);
  since timestamptz := clock_timestamp() - interval '1 minute';
  sent integer := 0;
  at timestamptz;
begin
  if random() * most > 100 then
    return;
  end if;
  for at in
    select m.created_at from public.agent_messages m
    where m.tenant_id = message.tenant_id and m.from_agent = message.from_agent and m.type not in ('task_assignment', 'task_complete')
    order by m.seq desc limit most + 1
  loop
    exit when at < since;
    sent := sent + 1;
  end loop;
  if sent > most then
    raise exception 'messages: % has stored % within a minute, which is the limit', message.from_agent, most using errcode = '53400',
      hint = 'Send less, or have a service raise the limit: select public.limit_messages(…).';
  end if;
end
$function$
-- owner postgres
grant execute on function federation.check_budget(public.agent_messages) to federation_definer;
comment on function federation.check_budget(public.agent_messages) is 'Refuses a message of an agent that sends without end.';

CREATE OR REPLACE FUNCTION federation.check_json(what text, value jsonb, max_bytes integer DEFAULT 1048576)
 RETURNS jsonb
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if octet_length(value::text) > max_bytes then
    raise exception '%: expected at most % bytes as JSON text, got %', what, max_bytes, octet_length(value::text)
      using errcode = '22023';
  end if;
  return value;
end
$function$
-- owner postgres
grant execute on function federation.check_json(text,jsonb,integer) to authenticated;
grant execute on function federation.check_json(text,jsonb,integer) to federation_definer;
grant execute on function federation.check_json(text,jsonb,integer) to service_role;
comment on function federation.check_json(text,jsonb,integer) is NULL;

CREATE OR REPLACE FUNCTION federation.check_memory(memory jsonb, place bigint, tenant text, agent text)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  named text;
begin
  if jsonb_typeof(memory) <> 'object' then
    raise exception 'memory %: expected an object, got %', place, jsonb_typeof(memory) using errcode = '22023';
  end if;
  -- Nearly all are like this, and asking once is several times faster than asking for the first thing that is wrong.
  if octet_length(memory ->> 'id') between 1 and 255 and octet_length(memory ->> 'content') <= 1048576
    and coalesce(octet_length(memory ->> 'session_id'), 0) <= 255 and coalesce(octet_length(memory ->> 'embedding_model'), 0) <= 255
    and memory ->> 'supersedes' is null and octet_length((memory -> 'metadata')::text) <= 1048576
    and coalesce(octet_length((memory -> 'source')::text), 0) <= 1048576 and coalesce(memory ->> 'scope', 'tenant') in ('agent', 'session', 'tenant')
    and coalesce(memory ->> 'agent_id', agent) = agent and coalesce(memory ->> 'tenant_id', tenant) = tenant
    and not memory ?| '{if_version,ttl_seconds,skip_identical}' then
    return;
  end if;
  perform federation.check_text(format('memory %s: id', place), memory ->> 'id', 255);
  named := 'memory ' || quote_literal(memory ->> 'id');
  perform federation.check_text(named || ': content', coalesce(memory ->> 'content', ''), 1048576, false),
    federation.check_text(named || ': session_id', memory ->> 'session_id', 255, false),
    federation.check_text(named || ': embedding_model', memory ->> 'embedding_model', 255, false),
    federation.check_text(named || ': supersedes', memory ->> 'supersedes', 255, false),
    federation.check_json(named || ': metadata', memory -> 'metadata'),
    federation.check_json(named || ': source', memory -> 'source'),
    federation.check_agent(named || ': agent_id', memory ->> 'agent_id');
  if memory ->> 'content' is null then
    raise exception '%: content: expected a text, got nothing', named using errcode = '22023';
  end if;
  if coalesce(memory ->> 'scope', 'tenant') not in ('agent', 'session', 'tenant') then
    raise exception '%: scope: expected agent, session or tenant, got %', named, quote_literal(memory ->> 'scope') using errcode = '22023';
  end if;
  if memory ?| '{if_version,ttl_seconds,skip_identical}' then
    if coalesce(memory ->> 'if_version', '0') !~ '^[0-9]{1,18}$' then
      raise exception '%: if_version: expected a whole number, 0 or more, got %', named, memory -> 'if_version' using errcode = '22023';
    elsif memory ->> 'ttl_seconds' is not null and (
        jsonb_typeof(memory -> 'ttl_seconds') <> 'number' or (memory ->> 'ttl_seconds')::numeric not between 0.001 and 1e10) then
      raise exception '%: ttl_seconds: expected a number from 0.001 to 1e10, got %', named, memory -> 'ttl_seconds' using errcode = '22023';
    elsif memory ->> 'ttl_seconds' is not null and memory ->> 'expires_at' is not null then
      raise exception '%: expected expires_at or ttl_seconds, got both', named using errcode = '22023';
    elsif coalesce(memory ->> 'skip_identical', 'true') not in ('true', 'false') then
      raise exception '%: skip_identical: expected true or false, got %', named, memory -> 'skip_identical' using errcode = '22023';
    end if;
  end if;
  if coalesce(memory ->> 'agent_id', agent) is null then
    raise exception '%: no agent: expected agent_id, or as_agent for all of them', named using errcode = '42501';
  end if;
  if memory ->> 'agent_id' <> agent or memory ->> 'tenant_id' <> tenant then
    raise exception '%: agent % of tenant % cannot store for agent % of tenant %', named, agent, tenant,
      coalesce(memory ->> 'agent_id', agent), coalesce(memory ->> 'tenant_id', tenant) using errcode = '42501';
  end if;
end
$function$
-- owner postgres
grant execute on function federation.check_memory(jsonb,bigint,text,text) to authenticated;
grant execute on function federation.check_memory(jsonb,bigint,text,text) to service_role;
comment on function federation.check_memory(jsonb,bigint,text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.check_rows(max_rows integer)
 RETURNS integer
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if max_rows is null or max_rows < 0 then
    raise exception 'number of rows: expected 0 or more, got %', coalesce(max_rows::text, 'nothing') using errcode = '22023';
  end if;
  return least(max_rows, 10000);
end
$function$
-- owner postgres
grant execute on function federation.check_rows(integer) to authenticated;
grant execute on function federation.check_rows(integer) to federation_definer;
grant execute on function federation.check_rows(integer) to service_role;
comment on function federation.check_rows(integer) is NULL;

CREATE OR REPLACE FUNCTION federation.check_text(what text, value text, max_bytes integer, needed boolean DEFAULT true)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if value is null then
    if needed then
      raise exception '%: expected a text, got nothing', what using errcode = '22023';
    end if;
  elsif octet_length(value) > max_bytes or (needed and value = '') then
    raise exception '%: expected % to % bytes, got %', what, case when needed then 1 else 0 end, max_bytes,
      octet_length(value) using errcode = '22023';
  end if;
  return value;
end
$function$
-- owner postgres
grant execute on function federation.check_text(text,text,integer,boolean) to authenticated;
grant execute on function federation.check_text(text,text,integer,boolean) to federation_definer;
grant execute on function federation.check_text(text,text,integer,boolean) to service_role;
comment on function federation.check_text(text,text,integer,boolean) is NULL;

CREATE OR REPLACE FUNCTION federation.check_versions(memories jsonb, tenant text, skipped text[], is_written boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  stale record;
begin
  select m.id, m.expected, case when k.deleted_at is null then coalesce(k.version, 0) else 0 end as found
  into stale
  from (
    select g.value ->> 'id' as id, (g.value ->> 'if_version')::bigint as expected, g.ordinality as place
    from jsonb_array_elements(memories) with ordinality g
    where g.value ->> 'if_version' is not null and skipped[g.ordinality] is null offset 0) m -- an index under policies wants plain columns
  left join public.agent_memories k on k.tenant_id = tenant and k.id = m.id
  where case when is_written then m.expected = 0 and k.tx <> pg_current_xact_id()
    else m.expected <> case when k.deleted_at is null then coalesce(k.version, 0) else 0 end end
  order by m.place limit 1;
  if found then
    raise exception 'memory %: expected %, found %', quote_literal(stale.id),
      case stale.expected when 0 then 'none' else 'version ' || stale.expected end,
      case stale.found when 0 then 'none' else 'version ' || stale.found end
      using errcode = '23505',
        detail = jsonb_build_object('id', stale.id, 'expected', stale.expected, 'found', stale.found)::text;
  end if;
end
$function$
-- owner postgres
grant execute on function federation.check_versions(jsonb,text,text[],boolean) to authenticated;
grant execute on function federation.check_versions(jsonb,text,text[],boolean) to service_role;
comment on function federation.check_versions(jsonb,text,text[],boolean) is NULL;

CREATE OR REPLACE FUNCTION federation.claimable(tenant text, agent text, wanted text, by_age boolean, many integer)
 RETURNS TABLE(task_row uuid, rank double precision)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select q.task_row, case when by_age then extract(epoch from q.ready_at) else q.priority * 1e12 + extract(epoch from q.ready_at) end
  from public.agent_task_queue q
  where q.tenant_id = tenant and q.lease_until is null and q.ready_at <= now()
    and q.assigned_to is not distinct from agent and (agent is not null or q.capability is not distinct from wanted)
  order by 2 limit many
$function$
-- owner postgres
grant execute on function federation.claimable(text,text,text,boolean,integer) to federation_definer;
comment on function federation.claimable(text,text,text,boolean,integer) is NULL;

CREATE OR REPLACE FUNCTION federation.count_version()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  new.version := case tg_op when 'INSERT' then 1 else old.version operator(pg_catalog.+) 1 end;
  return new;
end
$function$
-- owner postgres
comment on function federation.count_version() is 'Trigger: 1 for a new row, one more for every update.';

CREATE OR REPLACE FUNCTION federation.end_silent_sessions(tenant text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  ended integer;
begin
  update public.agent_sessions s set status = 'offline', ended_at = now(), end_reason = 'timeout'
  where s.row_id in (
    select d.row_id from public.agent_sessions d
    where d.tenant_id = tenant and d.ended_at is null and d.last_seen_at < now() - make_interval(secs => d.timeout_seconds)
    order by d.last_seen_at limit 500 for update skip locked);
  get diagnostics ended = row_count;
  return ended;
end
$function$
-- owner postgres
grant execute on function federation.end_silent_sessions(text) to federation_definer;
comment on function federation.end_silent_sessions(text) is NULL;

CREATE OR REPLACE FUNCTION federation.end_task(task public.agent_tasks, final_status text, reason text)
 RETURNS public.agent_tasks
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  message public.agent_messages;
begin
  update public.agent_tasks t set status = final_status, error = reason, ended_at = now(), lease_until = null, fence = t.fence + 1
  where t.row_id = task.row_id returning t.* into task;
  delete from public.agent_task_queue q where q.tenant_id = task.tenant_id and q.task_row = task.row_id;
  message.tenant_id := task.tenant_id;
  message.id := gen_random_uuid();
  message.from_agent := coalesce(federation.agent_id(), task.lease_agent, task.assigned_by);
  message.to_agent := task.assigned_by;
  message.type := 'task_failed';
  message.payload := jsonb_build_object(
    'task_id', task.task_id, 'status', task.status, 'error', task.error, 'attempt', task.attempt, 'agent', task.lease_agent);
  message.hop_count := task.hop_count + 1;
  message.correlation_id := coalesce(task.correlation_id, task.task_id);
  message.traceparent := task.traceparent;
  perform federation.store_message(message);
  return task;
end
$function$
-- owner postgres
grant execute on function federation.end_task(public.agent_tasks,text,text) to federation_definer;
comment on function federation.end_task(public.agent_tasks,text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.end_tasks(tenant text, agent text, ended jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  finished text[];
  outcome jsonb;
  refused jsonb := '[]';
begin
  finished := federation.finish_tasks(tenant, agent, (
    select coalesce(jsonb_agg(e.value), '[]') from jsonb_array_elements(ended) e
    where not e.value ? 'error' and octet_length((e.value -> 'result')::text) <= 1048576));
  for outcome in
    select e.value from jsonb_array_elements(ended) e where e.value ? 'error' or e.value ->> 'task_id' <> all (finished)
  loop
    begin
      if outcome ? 'error' then
        perform public.fail_task(outcome ->> 'task_id', outcome ->> 'error', (outcome ->> 'fence')::bigint,
          coalesce((outcome ->> 'retry')::boolean, true));
      else
        perform public.complete_task(outcome ->> 'task_id', outcome -> 'result', (outcome ->> 'fence')::bigint);
      end if;
    exception when no_data_found or insufficient_privilege or object_not_in_prerequisite_state or data_exception then
      refused := refused || jsonb_build_object('task_id', outcome ->> 'task_id', 'code', sqlstate, 'message', sqlerrm);
    end;
  end loop;
  return refused;
end
$function$
-- owner postgres
grant execute on function federation.end_tasks(text,text,jsonb) to federation_definer;
comment on function federation.end_tasks(text,text,jsonb) is NULL;

CREATE OR REPLACE FUNCTION federation.epoch()
 RETURNS text
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  cluster text := '';
begin
  begin
    cluster := concat((select system_identifier from pg_control_system()), ' ', (select timeline_id from pg_control_checkpoint()));
  exception when insufficient_privilege then
    null; -- not everybody may ask everywhere: then a restore into another cluster needs new_epoch()
  end;
  return left(encode(sha256(convert_to((select s.epoch::text from federation.sync_settings s) || ' ' || cluster, 'UTF8')), 'hex'), 32);
end
$function$
-- owner federation_definer
grant execute on function federation.epoch() to authenticated;
grant execute on function federation.epoch() to service_role;
comment on function federation.epoch() is NULL;

CREATE OR REPLACE FUNCTION federation.failure_json(failure public.agent_message_failures)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case when failure.row_id is null then '{}' else jsonb_build_object(
    'delivery_attempt', failure.delivery_attempt, 'last_error', failure.last_error, 'dead_at', failure.dead_at, 'handled_at', null) end
$function$
-- owner postgres
grant execute on function federation.failure_json(public.agent_message_failures) to authenticated;
grant execute on function federation.failure_json(public.agent_message_failures) to federation_definer;
grant execute on function federation.failure_json(public.agent_message_failures) to service_role;
comment on function federation.failure_json(public.agent_message_failures) is NULL;

CREATE OR REPLACE FUNCTION federation.feed_topic()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select 'federation:' || federation.tenant_id() || ':feed' $function$
-- owner postgres
grant execute on function federation.feed_topic() to authenticated;
grant execute on function federation.feed_topic() to federation_definer;
grant execute on function federation.feed_topic() to service_role;
comment on function federation.feed_topic() is NULL;

CREATE OR REPLACE FUNCTION federation.finish_tasks(tenant text, agent text, said jsonb)
 RETURNS text[]
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  finished text[];
begin
  -- In the order of their rows, so that two calls about the same tasks wait for each other in one order.
  with mine as (
    select t.row_id, s.said -> 'result' as result
    from federation.tasks_named(finish_tasks.tenant, finish_tasks.said) s join public.agent_tasks t on t.row_id = s.row_id
    where t.ended_at is null and coalesce(t.lease_agent, t.assigned_to) = finish_tasks.agent
      and coalesce((s.said ->> 'fence')::bigint, t.fence) = t.fence
    order by t.row_id for update of t),
  done as (
    update public.agent_tasks t set
      status = 'completed', result = m.result, progress = 1, ended_at = now(), lease_until = null, error = null,
      started_at = coalesce(t.started_at, now())
    from mine m where t.row_id = m.row_id
    returning t.*),
  left_the_queue as (
    delete from public.agent_task_queue q using done d where q.tenant_id = finish_tasks.tenant and q.task_row = d.row_id),
  told as (
    insert into public.agent_messages (tenant_id, id, from_agent, to_agent, type, payload, hop_count, correlation_id, traceparent)
    select d.tenant_id, gen_random_uuid(), finish_tasks.agent, d.assigned_by, 'task_complete',
      jsonb_build_object('task_id', d.task_id, 'result', d.result, 'completed_by', finish_tasks.agent),
      d.hop_count + 1, coalesce(d.correlation_id, d.task_id), d.traceparent
    from done d)
  select coalesce(array_agg(d.task_id), '{}') into finished from done d;
  return finished;
end
$function$
-- owner postgres
grant execute on function federation.finish_tasks(text,text,jsonb) to federation_definer;
comment on function federation.finish_tasks(text,text,jsonb) is NULL;

CREATE OR REPLACE FUNCTION federation.forget_broadcasts(tenant text, agent text, ids text[])
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  room constant text := 'federation:' || tenant;
  forgotten integer;
  mine constant text := format($q$
    (m.topic = %1$L or starts_with(m.topic, %1$L || ':')) and (
      %2$L is null
      or m.topic = %1$L || ':agent:' || %2$L
      or %2$L in (m.payload ->> 'from_agent', m.payload ->> 'agent_id', m.payload ->> 'assigned_to', m.payload ->> 'assigned_by',
        m.payload ->> 'agent', m.payload ->> 'holder',
        m.payload #>> '{message,from_agent}', m.payload #>> '{message,to_agent}')
      or m.payload ->> 'id' = any (%3$L::text[])
      or (jsonb_typeof(m.payload -> 'ids') = 'array' and m.payload -> 'ids' ?| %3$L::text[])
      or (jsonb_typeof(m.payload -> 'memories') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'memories') k where %2$L in (k ->> 'agent_id', k ->> 'written_by')))
      or (jsonb_typeof(m.payload -> 'messages') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'messages') n
        where %2$L in (n ->> 'from_agent', n ->> 'to_agent') or n ->> 'id' = any (%3$L::text[])))
      or (jsonb_typeof(m.payload -> 'tasks') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'tasks') t where %2$L in (t ->> 'assigned_to', t ->> 'assigned_by', t ->> 'agent')))
      or (jsonb_typeof(m.payload -> 'sessions') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'sessions') s where s ->> 'agent_id' = %2$L)))
    $q$, room, agent, ids);
begin
  if has_table_privilege('realtime.messages', 'delete') then
    execute 'delete from realtime.messages m where ' || mine;
  else
    execute $q$update realtime.messages m set payload = '{}', topic = 'federation-forgotten', event = null where $q$ || mine;
  end if;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$function$
-- owner postgres
grant execute on function federation.forget_broadcasts(text,text,text[]) to federation_definer;
comment on function federation.forget_broadcasts(text,text,text[]) is 'Removes what was broadcast by, to or about an agent, or in a tenant.';

CREATE OR REPLACE FUNCTION federation.frames_of(news jsonb)
 RETURNS SETOF jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_agg(r.value order by r.place)
  from (
    select e.value, e.ordinality as place,
      (sum(octet_length(e.value::text)) over (order by e.ordinality) - octet_length(e.value::text)) / 5500 as frame
    from jsonb_array_elements(news) with ordinality e) r
  group by r.frame order by r.frame
$function$
-- owner postgres
grant execute on function federation.frames_of(jsonb) to federation_definer;
comment on function federation.frames_of(jsonb) is 'The rows of an announcement, in frames that fit into a NOTIFY.';

CREATE OR REPLACE FUNCTION federation.give_back(task public.agent_tasks, reason text, ready_at timestamp with time zone)
 RETURNS public.agent_tasks
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if task.attempt >= task.max_attempts then
    return federation.end_task(task, 'dead', reason);
  end if;
  update public.agent_tasks t set
    status = case when t.assigned_to is null then 'pending' else 'assigned' end, error = reason,
    lease_until = null, lease_agent = null, instance_id = null, fence = t.fence + 1
  where t.row_id = task.row_id returning t.* into task;
  update public.agent_task_queue q set lease_until = null, ready_at = give_back.ready_at, fence = task.fence
  where q.tenant_id = task.tenant_id and q.task_row = task.row_id;
  return task;
end
$function$
-- owner postgres
grant execute on function federation.give_back(public.agent_tasks,text,timestamp with time zone) to federation_definer;
comment on function federation.give_back(public.agent_tasks,text,timestamp with time zone) is NULL;

CREATE OR REPLACE FUNCTION federation.hand_out(name regproc, callers text[], of_definer boolean DEFAULT false)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  signature regprocedure := name::oid::regprocedure;
  home text := (select pronamespace::regnamespace::text from pg_proc where oid = name::oid);
  caller text;
begin
  execute format('revoke all on function %s from public, anon, authenticated, service_role', signature);
  foreach caller in array callers loop
    execute format('grant execute on function %s to %I', signature, caller);
  end loop;
  if of_definer and (select proowner <> 'federation_definer'::regrole from pg_proc where oid = name::oid) then
    -- Whoever becomes owner must be allowed to create in the schema, for as long as this statement.
    execute format('grant create on schema %s to federation_definer', home);
    execute format('alter function %s owner to federation_definer', signature);
    execute format('revoke create on schema %s from federation_definer', home);
  end if;
end
$function$
-- owner postgres
comment on function federation.hand_out(regproc,text[],boolean) is 'Owner and callers of a function; used by migrations.';

CREATE OR REPLACE FUNCTION federation.held_by_claim(tenant text, agent text, claim_id uuid)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  until constant timestamptz := now() + interval '20 seconds';
  held uuid[];
begin
  held := array(
    select t.row_id from public.agent_task_queue q join public.agent_tasks t on t.row_id = q.task_row
    where q.tenant_id = held_by_claim.tenant and q.claim_id = held_by_claim.claim_id and q.lease_until > now()
      and t.lease_agent = held_by_claim.agent and t.ended_at is null
    order by t.row_id for update of t);
  if cardinality(held) = 0 then
    return;
  end if;
  update public.agent_task_queue q set lease_until = until
  where q.tenant_id = held_by_claim.tenant and q.task_row = any (held);
  return query
    update public.agent_tasks t set lease_until = until
    where t.tenant_id = held_by_claim.tenant and t.row_id = any (held)
    returning federation.task_json(t);
end
$function$
-- owner postgres
grant execute on function federation.held_by_claim(text,text,uuid) to federation_definer;
comment on function federation.held_by_claim(text,text,uuid) is NULL;

CREATE OR REPLACE FUNCTION federation.hidden_since(after_tx xid8, after_seq bigint, horizon xid8, max_rows integer)
 RETURNS TABLE(tx xid8, seq bigint, memory text)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  return query
    select h.tx, h.seq, jsonb_build_object(
      'id', h.id, 'tenant_id', h.tenant_id, 'agent_id', h.agent_id, 'session_id', null, 'session_agent', null, 'content', null, 'embedding', null,
      'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'scope', 'tenant', 'written_by', h.agent_id, 'content_hash', null,
      'supersedes', null, 'superseded_by', null, 'version', h.version, 'created_at', h.hidden_at, 'updated_at', h.hidden_at,
      'expires_at', null, 'deleted_at', h.hidden_at, 'seq', h.seq,
      'hlc', jsonb_build_object('ms', h.hlc_ms, 'counter', h.hlc_counter, 'writer', h.hlc_writer))::text
    from federation.hidden_memories h
    where h.tenant_id = federation.tenant_id() and (h.tx, h.seq) > (after_tx, after_seq) and h.tx < horizon
      and (h.lost_by = '' or federation.agent_id() is null or h.lost_by = federation.agent_id())
      and not exists (
        select from public.agent_memories k
        where k.tenant_id = h.tenant_id and k.id = h.id and federation.may_read(k, federation.agent_id()))
    order by h.tx, h.seq
    limit max_rows;
end
$function$
-- owner federation_definer
grant execute on function federation.hidden_since(xid8,bigint,xid8,integer) to authenticated;
grant execute on function federation.hidden_since(xid8,bigint,xid8,integer) to service_role;
comment on function federation.hidden_since(xid8,bigint,xid8,integer) is NULL;

CREATE OR REPLACE FUNCTION federation.hold_dependent()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  task public.agent_tasks;
  circle text;
begin
  select t.* into task from public.agent_tasks t where t.row_id = new.task_row;
  if cardinality(task.dependencies) = 0 then
    return new;
  end if;
  if coalesce(task.details ->> 'on_dependency_failure', 'fail') not in ('fail', 'release') then
    raise exception 'on_dependency_failure: expected fail or release, got %', quote_literal(task.details ->> 'on_dependency_failure') using errcode = '22023';
  end if;
  -- One after the other in a tenant: two that close a circle together would not see each other.
  perform pg_advisory_xact_lock(hashtextextended('federation.dependencies ' || task.tenant_id, 0));
  with recursive reached (id) as (
    select unnest(task.dependencies)
    union
    select unnest(d.dependencies) from reached r
    join public.agent_tasks d on d.tenant_id = task.tenant_id and d.task_id = r.id where d.ended_at is null)
  select r.id into circle from reached r where r.id = task.task_id;
  if found then
    raise exception 'task % waits for itself, by way of its dependencies', quote_literal(circle) using errcode = '22023';
  end if;
  if federation.is_waiting(task) then
    new.ready_at := 'infinity';
    new.look_from := '0'; -- what it waits for may end before this commits, and not see it
  end if;
  return new;
end
$function$
-- owner postgres
comment on function federation.hold_dependent() is NULL;

CREATE OR REPLACE FUNCTION federation.identical_memories(memories jsonb, tenant text, agent text)
 RETURNS text[]
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$
-- owner postgres
grant execute on function federation.identical_memories(jsonb,text,text) to authenticated;
grant execute on function federation.identical_memories(jsonb,text,text) to service_role;
comment on function federation.identical_memories(jsonb,text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.in_chain(message public.agent_messages)
 RETURNS public.agent_messages
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  asked record;
  max_hops integer;
begin
  if message.reply_to is not null then
    select m.hop_count, coalesce(m.correlation_id, m.id) as correlation_id into asked from public.agent_messages m
    where m.tenant_id = message.tenant_id and m.id = message.reply_to
      and (m.to_agent is null or message.from_agent in (m.to_agent, m.from_agent));
    message.hop_count := greatest(message.hop_count, asked.hop_count + 1);
    message.correlation_id := coalesce(message.correlation_id, asked.correlation_id);
  end if;
  if message.hop_count > 0 then
    select s.max_hops into max_hops from federation.sync_settings s;
    if message.hop_count > max_hops then
      raise exception 'hop_count: % messages led to this one, the limit is %', message.hop_count, max_hops using errcode = '53400',
        hint = 'End the exchange, or have a service raise the limit: select public.limit_hops(…).';
    end if;
  end if;
  return message;
end
$function$
-- owner postgres
grant execute on function federation.in_chain(public.agent_messages) to federation_definer;
comment on function federation.in_chain(public.agent_messages) is NULL;

CREATE OR REPLACE FUNCTION federation.inbox_topic()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select 'federation:' || federation.tenant_id() || ':agent:' || federation.agent_id() $function$
-- owner postgres
grant execute on function federation.inbox_topic() to authenticated;
grant execute on function federation.inbox_topic() to federation_definer;
grant execute on function federation.inbox_topic() to service_role;
comment on function federation.inbox_topic() is NULL;

CREATE OR REPLACE FUNCTION federation.is_below_floor(at_tx xid8, at_seq bigint, horizon xid8)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  return exists (
    select from federation.pull_floors f
    where f.tenant_hash = encode(sha256(convert_to(federation.tenant_id(), 'UTF8')), 'hex')
      and (f.tx, f.seq) > (at_tx, at_seq) and f.tx < horizon);
end
$function$
-- owner federation_definer
grant execute on function federation.is_below_floor(xid8,bigint,xid8) to authenticated;
grant execute on function federation.is_below_floor(xid8,bigint,xid8) to service_role;
comment on function federation.is_below_floor(xid8,bigint,xid8) is NULL;

CREATE OR REPLACE FUNCTION federation.is_large_room(tenant text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select count(*) > 100 from (
    select from public.agent_sessions s where s.tenant_id = tenant and s.ended_at is null limit 101) open_ones
$function$
-- owner postgres
grant execute on function federation.is_large_room(text) to federation_definer;
comment on function federation.is_large_room(text) is NULL;

CREATE OR REPLACE FUNCTION federation.is_later(ms bigint, counter integer, writer text, than_ms bigint, than_counter integer, than_writer text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select ms operator(pg_catalog.>) than_ms or ms operator(pg_catalog.=) than_ms and (
    counter operator(pg_catalog.>) than_counter or counter operator(pg_catalog.=) than_counter
      and writer collate pg_catalog."C" operator(pg_catalog.>) than_writer)
$function$
-- owner postgres
grant execute on function federation.is_later(bigint,integer,text,bigint,integer,text) to authenticated;
grant execute on function federation.is_later(bigint,integer,text,bigint,integer,text) to federation_definer;
grant execute on function federation.is_later(bigint,integer,text,bigint,integer,text) to service_role;
comment on function federation.is_later(bigint,integer,text,bigint,integer,text) is 'The order of hybrid logical clocks.';

CREATE OR REPLACE FUNCTION federation.is_no_write(old public.agent_memories, new public.agent_memories)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if old.deleted_at is null and new.deleted_at is not null then
    return coalesce(old.expires_at <= now(), false);
  end if;
  return (new.superseded_by, new.session_agent) is distinct from (old.superseded_by, old.session_agent)
    and (new.agent_id, new.session_id, new.content, new.embedding::text, new.embedding_model, new.metadata, new.source, new.scope,
         new.supersedes, new.valid_from, new.valid_to, new.expires_at, new.deleted_at) is not distinct from
        (old.agent_id, old.session_id, old.content, old.embedding::text, old.embedding_model, old.metadata, old.source, old.scope,
         old.supersedes, old.valid_from, old.valid_to, old.expires_at, old.deleted_at);
end
$function$
-- owner postgres
grant execute on function federation.is_no_write(public.agent_memories,public.agent_memories) to authenticated;
grant execute on function federation.is_no_write(public.agent_memories,public.agent_memories) to federation_definer;
grant execute on function federation.is_no_write(public.agent_memories,public.agent_memories) to service_role;
comment on function federation.is_no_write(public.agent_memories,public.agent_memories) is NULL;

CREATE OR REPLACE FUNCTION federation.is_quiet()
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$ select coalesce(pg_catalog.current_setting('federation.quiet', true), '') operator(pg_catalog.=) 'on' $function$
-- owner postgres
grant execute on function federation.is_quiet() to federation_definer;
comment on function federation.is_quiet() is NULL;

CREATE OR REPLACE FUNCTION federation.is_waiting(task public.agent_tasks)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select exists (
    select from unnest(task.dependencies) needed
    left join public.agent_tasks d on d.tenant_id = task.tenant_id and d.task_id = needed
    where d.status is null or d.ended_at is null
      or (d.status <> 'completed' and coalesce(task.details ->> 'on_dependency_failure', 'fail') <> 'release'))
$function$
-- owner postgres
grant execute on function federation.is_waiting(public.agent_tasks) to federation_definer;
comment on function federation.is_waiting(public.agent_tasks) is NULL;

CREATE OR REPLACE FUNCTION federation.latest_clock_ms()
 RETURNS bigint
 LANGUAGE sql
AS $function$
  select pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) operator(pg_catalog.*) 1000)::pg_catalog.int8
    operator(pg_catalog.+) 60000
$function$
-- owner postgres
grant execute on function federation.latest_clock_ms() to authenticated;
grant execute on function federation.latest_clock_ms() to federation_definer;
grant execute on function federation.latest_clock_ms() to service_role;
comment on function federation.latest_clock_ms() is NULL;

CREATE OR REPLACE FUNCTION federation.lock_json(lock public.agent_locks)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'name', lock.name, 'holder', lock.holder, 'instance_id', lock.instance_id, 'fence', lock.fence, 'taken_at', lock.taken_at,
    'expires_at', lock.expires_at, 'left_ms', greatest(0, ceil(extract(epoch from lock.expires_at - clock_timestamp()) * 1000)))
$function$
-- owner postgres
grant execute on function federation.lock_json(public.agent_locks) to authenticated;
grant execute on function federation.lock_json(public.agent_locks) to federation_definer;
grant execute on function federation.lock_json(public.agent_locks) to service_role;
comment on function federation.lock_json(public.agent_locks) is NULL;

CREATE OR REPLACE FUNCTION federation.lock_task(tenant text, task_id text)
 RETURNS public.agent_tasks
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  task public.agent_tasks;
begin
  perform federation.check_text('task_id', lock_task.task_id, 255);
  select * into task from public.agent_tasks t
  where t.tenant_id = lock_task.tenant and t.task_id = lock_task.task_id for update;
  if not found then
    raise exception 'no task %', quote_literal(lock_task.task_id) using errcode = 'P0002';
  end if;
  return task;
end
$function$
-- owner postgres
grant execute on function federation.lock_task(text,text) to federation_definer;
comment on function federation.lock_task(text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.lock_writers(tenant text, owners text[], is_alone boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if is_alone then
    perform pg_advisory_xact_lock(w.key) from (
      select distinct hashtextextended(tenant || ' ' || o, 0) as key from unnest(owners) o where o is not null order by 1) w;
  else
    perform pg_advisory_xact_lock_shared(w.key) from (
      select distinct hashtextextended(tenant || ' ' || o, 0) as key from unnest(owners) o where o is not null order by 1) w;
  end if;
end
$function$
-- owner postgres
grant execute on function federation.lock_writers(text,text[],boolean) to authenticated;
grant execute on function federation.lock_writers(text,text[],boolean) to service_role;
comment on function federation.lock_writers(text,text[],boolean) is NULL;

CREATE OR REPLACE FUNCTION federation.matches(embedding extensions.vector, model text, words tsquery, wanted jsonb, depth integer, min_similarity double precision)
 RETURNS TABLE(row_id uuid, similarity double precision, rank double precision, place bigint)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'extensions', 'pg_temp'
AS $function$
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
    $function$
-- owner postgres
grant execute on function federation.matches(extensions.vector,text,tsquery,jsonb,integer,double precision) to authenticated;
grant execute on function federation.matches(extensions.vector,text,tsquery,jsonb,integer,double precision) to service_role;
comment on function federation.matches(extensions.vector,text,tsquery,jsonb,integer,double precision) is NULL;

CREATE OR REPLACE FUNCTION federation.may_read(memory public.agent_memories, agent text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ select agent is null or memory.scope = 'tenant' or memory.agent_id = agent or memory.session_agent = agent $function$
-- owner postgres
grant execute on function federation.may_read(public.agent_memories,text) to authenticated;
grant execute on function federation.may_read(public.agent_memories,text) to federation_definer;
grant execute on function federation.may_read(public.agent_memories,text) to service_role;
comment on function federation.may_read(public.agent_memories,text) is 'Whether a memory''s scope admits an agent of its tenant.';

CREATE OR REPLACE FUNCTION federation.memory_facts(memory public.agent_memories)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
  select jsonb_build_object(
    'id', memory.id, 'tenant_id', memory.tenant_id, 'agent_id', memory.agent_id, 'session_id', memory.session_id,
    'session_agent', memory.session_agent, 'embedding_model', memory.embedding_model, 'scope', memory.scope, 'written_by', memory.written_by,
    'content_hash', memory.content_hash, 'supersedes', memory.supersedes, 'superseded_by', memory.superseded_by,
    'version', memory.version, 'created_at', memory.created_at, 'updated_at', memory.updated_at,
    'expires_at', memory.expires_at, 'deleted_at', memory.deleted_at, 'seq', memory.seq,
    'hlc', jsonb_build_object('ms', memory.hlc_ms, 'counter', memory.hlc_counter, 'writer', memory.hlc_writer))
$function$
-- owner postgres
grant execute on function federation.memory_facts(public.agent_memories) to authenticated;
grant execute on function federation.memory_facts(public.agent_memories) to federation_definer;
grant execute on function federation.memory_facts(public.agent_memories) to service_role;
comment on function federation.memory_facts(public.agent_memories) is NULL;

CREATE OR REPLACE FUNCTION federation.memory_json(memory public.agent_memories)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
  select federation.memory_facts(memory) || jsonb_build_object(
    'content', memory.content, 'embedding', memory.embedding::text::jsonb, 'metadata', memory.metadata, 'source', memory.source)
$function$
-- owner postgres
grant execute on function federation.memory_json(public.agent_memories) to authenticated;
grant execute on function federation.memory_json(public.agent_memories) to federation_definer;
grant execute on function federation.memory_json(public.agent_memories) to service_role;
comment on function federation.memory_json(public.agent_memories) is NULL;

CREATE OR REPLACE FUNCTION federation.memory_readers(memory public.agent_memories)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  select case
    when memory.scope = 'tenant' then array['']
    when memory.session_agent is null then array[memory.agent_id]
    else array[memory.agent_id, memory.session_agent]
  end
$function$
-- owner postgres
grant execute on function federation.memory_readers(public.agent_memories) to federation_definer;
comment on function federation.memory_readers(public.agent_memories) is NULL;

CREATE OR REPLACE FUNCTION federation.memory_text(memory public.agent_memories)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  select concat(
    left(federation.memory_facts(memory)::text, -1), ', "content": ', coalesce(to_json(memory.content)::text, 'null'),
    ', "embedding": ', coalesce(memory.embedding::text, 'null'), ', "metadata": ', memory.metadata,
    ', "source": ', coalesce(memory.source::text, 'null'), '}')
$function$
-- owner postgres
grant execute on function federation.memory_text(public.agent_memories) to authenticated;
grant execute on function federation.memory_text(public.agent_memories) to federation_definer;
grant execute on function federation.memory_text(public.agent_memories) to service_role;
comment on function federation.memory_text(public.agent_memories) is NULL;

CREATE OR REPLACE FUNCTION federation.memory_weight(memory public.agent_memories)
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
  select 500 + coalesce(pg_catalog.octet_length(memory.content), 0) + pg_catalog.octet_length(memory.metadata::text)
    + coalesce(pg_catalog.octet_length(memory.source::text), 0) + 3 * coalesce(pg_catalog.pg_column_size(memory.embedding), 0)
$function$
-- owner postgres
grant execute on function federation.memory_weight(public.agent_memories) to authenticated;
grant execute on function federation.memory_weight(public.agent_memories) to federation_definer;
grant execute on function federation.memory_weight(public.agent_memories) to service_role;
comment on function federation.memory_weight(public.agent_memories) is NULL;

CREATE OR REPLACE FUNCTION federation.message_facts(message public.agent_messages)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select federation.message_json(message) || federation.receipt_json(message) || jsonb_build_object('expires_at', message.expires_at) $function$
-- owner postgres
grant execute on function federation.message_facts(public.agent_messages) to authenticated;
grant execute on function federation.message_facts(public.agent_messages) to federation_definer;
grant execute on function federation.message_facts(public.agent_messages) to service_role;
comment on function federation.message_facts(public.agent_messages) is NULL;

CREATE OR REPLACE FUNCTION federation.message_json(message public.agent_messages)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
      'id', message.id, 'tenant_id', message.tenant_id, 'from_agent', message.from_agent, 'type', message.type,
      'payload', message.payload, 'timestamp', message.created_at, 'reply_to', message.reply_to,
      'correlation_id', message.correlation_id, 'hop_count', message.hop_count, 'sender_seq', message.sender_seq,
      'traceparent', message.traceparent, 'delivery_attempt', message.delivery_attempt, 'seq', message.seq)
    || case when message.to_agent is null then '{}' else jsonb_build_object('to_agent', message.to_agent) end
    || case when message.expires_at is null then '{}' else jsonb_build_object('expires_at', message.expires_at) end
$function$
-- owner postgres
grant execute on function federation.message_json(public.agent_messages) to authenticated;
grant execute on function federation.message_json(public.agent_messages) to federation_definer;
grant execute on function federation.message_json(public.agent_messages) to service_role;
comment on function federation.message_json(public.agent_messages) is NULL;

CREATE OR REPLACE FUNCTION federation.note_lost()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  readers constant text[] := federation.memory_readers(new);
begin
  -- Of tombstones as well: not everybody has seen them yet, and what is under the id now they will not see.
  insert into federation.hidden_memories as h (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer, seq)
  select old.tenant_id, old.id, r.reader, old.agent_id, new.version, new.hlc_ms, new.hlc_counter, new.hlc_writer,
    case when (old.tenant_id, old.id) = (new.tenant_id, new.id) then new.seq else nextval('federation.change_seq') end
  from unnest(federation.memory_readers(old)) r (reader)
  where (old.tenant_id, old.id) is distinct from (new.tenant_id, new.id) or ('' <> all (readers) and r.reader <> all (readers))
  on conflict (tenant_id, id, lost_by) do update set
    agent_id = excluded.agent_id, version = excluded.version, hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter,
    hlc_writer = excluded.hlc_writer, hidden_at = excluded.hidden_at, tx = excluded.tx, seq = excluded.seq;
  return null;
end
$function$
-- owner federation_definer
comment on function federation.note_lost() is 'Trigger: notes whom a change takes a memory from.';

CREATE OR REPLACE FUNCTION federation.note_removals()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  here bigint := nextval('federation.change_seq');
begin
  perform federation.raise_floor(gone.tenant_id, gone.tx, gone.seq)
  from (
    select distinct on (g.tenant_id) g.tenant_id, g.tx, g.seq
    from (
      select o.tenant_id,
        case when o.deleted_at is not null or o.expires_at <= now() then o.tx else pg_current_xact_id() end as tx,
        case when o.deleted_at is not null or o.expires_at <= now() then o.seq else here end as seq
      from old_rows o
      where not (o.deleted_at is null and o.version = 1 and coalesce(o.expires_at <= now(), false))) g
    order by g.tenant_id, g.tx desc, g.seq desc) gone;
  return null;
end
$function$
-- owner federation_definer
comment on function federation.note_removals() is 'Trigger: up to where a tenant''s memories were removed without a trace.';

CREATE OR REPLACE FUNCTION federation.prepare_memory()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
  if new.scope <> 'session' then
    new.session_agent := null;
  elsif tg_op = 'INSERT' or (new.deleted_at is null and not federation.is_no_write(old, new)) then
    new.session_agent := (
      select s.agent_id from public.agent_sessions s
      where s.tenant_id = new.tenant_id and s.session_id = new.session_id and s.agent_id <> new.agent_id);
  elsif new.session_agent is not null then
    new.session_agent := old.session_agent;
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
$function$
-- owner postgres
comment on function federation.prepare_memory() is 'Trigger: what every written memory gets.';

CREATE OR REPLACE FUNCTION federation.pull_page(writer text, cursor text, max_rows integer, max_bytes integer, as_agent text, as_tenant text)
 RETURNS json
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  -- How far everything was read; and, during a first reading, when it began.
  after_tx xid8 := '0';
  after_seq bigint := 0;
  since xid8;
  is_reset boolean := false;
  is_more boolean;
  is_held_back boolean;
  page record;
  answer json;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if cursor is null then
    since := horizon;
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
    is_reset := true;
  else
    after_tx := given[2];
    after_seq := given[3];
    since := given[4];
  end if;
  max_rows := greatest(1, federation.check_rows(max_rows));
  if not is_reset then
    with changes as (
      select c.tx, c.seq, c.memory, c.weight, c.hidden,
        row_number() over earlier as place, sum(c.weight) over earlier as bytes
      from (
        (select k.tx, k.seq, k as memory, case when k.hlc_writer = writer then 700 else federation.memory_weight(k) end as weight,
           null as hidden
         from public.agent_memories k
         where k.tenant_id = who.tenant and (k.tx, k.seq) > (after_tx, after_seq) and k.tx < horizon
           and federation.may_read(k, who.agent)
         order by k.tx, k.seq limit max_rows + 1)
        union all
        select h.tx, h.seq, null, 500, h.memory from federation.hidden_since(after_tx, after_seq, horizon, max_rows + 1) h) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select c.*, c.place <= max_rows and (c.place = 1 or c.bytes <= max_bytes) as is_in from changes c)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then coalesce(p.hidden, federation.replica_text(p.memory, coalesce((p.memory).hlc_writer = writer, false))) end, ',' order by p.place) as memories
    into page from page p;
    -- Asked after reading, so that nothing is removed in between unnoticed.
    is_reset := federation.is_below_floor(
      greatest(after_tx, since), case when since is null or after_tx >= since then after_seq else 0 end, horizon);
  end if;
  if is_reset then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0:', horizon), 'done', false, 'reset', true,
      'server_time', clock_timestamp());
  else
    is_more := coalesce(page.is_cut, false);
    is_held_back := not is_more and (
      exists (
        select from public.agent_memories k
        where k.tenant_id = who.tenant and (k.tx, k.seq) > (horizon, 0::bigint)
          and federation.may_read(k, who.agent))
      or exists (select from federation.hidden_since(horizon, 0, pg_snapshot_xmax(pg_current_snapshot()), 1)));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    answer := concat(
      '{"rows": [', page.memories, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, case when is_more then since end)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ', to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$function$
-- owner postgres
grant execute on function federation.pull_page(text,text,integer,integer,text,text) to authenticated;
grant execute on function federation.pull_page(text,text,integer,integer,text,text) to service_role;
comment on function federation.pull_page(text,text,integer,integer,text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.pushed_memory(memory jsonb, place bigint, tenant text, agent text)
 RETURNS public.agent_memories
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'extensions', 'pg_temp'
AS $function$
declare
  pushed public.agent_memories;
  clock jsonb := memory -> 'hlc';
  named text;
begin
  if memory ->> 'deleted_at' is not null then
    memory := jsonb_build_object('content', '') || (memory - '{content,embedding,embedding_model,metadata,source}'::text[]);
    pushed.deleted_at := now();
  end if;
  perform federation.check_memory(memory, place, tenant, agent);
  named := 'memory ' || quote_literal(memory ->> 'id');
  pushed.hlc_ms := clock ->> 'ms';
  pushed.hlc_counter := clock ->> 'counter';
  pushed.hlc_writer := federation.check_text(named || ': hlc.writer', clock ->> 'writer', 255);
  if pushed.hlc_ms is null or pushed.hlc_ms not between 1 and 9007199254740991 or coalesce(pushed.hlc_counter, -1) < 0 then
    raise exception '%: hlc: expected { ms, counter, writer }, got %', named, left(coalesce(clock::text, 'nothing'), 500) using errcode = '22023';
  end if;
  pushed.id := memory ->> 'id';
  pushed.agent_id := coalesce(memory ->> 'agent_id', agent);
  pushed.session_id := memory ->> 'session_id';
  pushed.content := case when pushed.deleted_at is null then memory ->> 'content' end;
  pushed.embedding := memory ->> 'embedding';
  if vector_norm(pushed.embedding) = 0 then
    raise exception '%: embedding: expected a vector that is not all zeros', named using errcode = '22023';
  end if;
  pushed.embedding_model := memory ->> 'embedding_model';
  pushed.metadata := coalesce(nullif(memory -> 'metadata', 'null'), '{}');
  pushed.source := nullif(memory -> 'source', 'null');
  pushed.scope := coalesce(memory ->> 'scope', 'tenant');
  pushed.supersedes := memory ->> 'supersedes';
  pushed.created_at := coalesce((memory ->> 'created_at')::timestamptz, now());
  pushed.expires_at := memory ->> 'expires_at';
  if not isfinite(pushed.created_at) or not isfinite(pushed.expires_at) then
    raise exception '%: expected times that come, got created_at % and expires_at %', named, pushed.created_at, pushed.expires_at
      using errcode = '22023';
  end if;
  return pushed;
end
$function$
-- owner postgres
grant execute on function federation.pushed_memory(jsonb,bigint,text,text) to authenticated;
grant execute on function federation.pushed_memory(jsonb,bigint,text,text) to service_role;
comment on function federation.pushed_memory(jsonb,bigint,text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.raise_floor(tenant text, at_tx xid8, at_seq bigint)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  insert into federation.pull_floors as f (tenant_hash, tx, seq)
  values (encode(sha256(convert_to(tenant, 'UTF8')), 'hex'), at_tx, at_seq)
  on conflict (tenant_hash) do update set tx = excluded.tx, seq = excluded.seq
  where (excluded.tx, excluded.seq) > (f.tx, f.seq)
$function$
-- owner federation_definer
comment on function federation.raise_floor(text,xid8,bigint) is 'From now on cursors of the tenant before this place mean nothing.';

CREATE OR REPLACE FUNCTION federation.read_filter(filter jsonb, OUT agent text, OUT session text, OUT since timestamp with time zone, OUT until timestamp with time zone, OUT metadata jsonb)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  stranger text;
begin
  filter := coalesce(nullif(filter, 'null'), '{}');
  if jsonb_typeof(filter) <> 'object' then
    raise exception 'filter: expected an object, got %', jsonb_typeof(filter) using errcode = '22023';
  end if;
  select k into stranger from jsonb_object_keys(filter) k where k not in ('agent', 'session', 'since', 'until', 'metadata') limit 1;
  if stranger is not null then
    raise exception 'filter: expected agent, session, since, until or metadata, got %', quote_literal(left(stranger, 100)) using errcode = '22023';
  end if;
  agent := federation.check_agent('filter: agent', filter ->> 'agent');
  session := filter ->> 'session';
  since := filter ->> 'since';
  until := filter ->> 'until';
  metadata := nullif(filter -> 'metadata', 'null');
end
$function$
-- owner postgres
grant execute on function federation.read_filter(jsonb) to authenticated;
grant execute on function federation.read_filter(jsonb) to service_role;
comment on function federation.read_filter(jsonb) is NULL;

CREATE OR REPLACE FUNCTION federation.ready_in_lane(tenant text, lane text, by_age boolean, many integer)
 RETURNS TABLE(task_row uuid, rank double precision)
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
begin
  if by_age then
    return query
      select q.task_row, extract(epoch from q.ready_at)::double precision from public.agent_task_queue q
      where q.tenant_id = tenant and q.lane = ready_in_lane.lane and q.lease_until is null and q.ready_at < 'infinity' and q.ready_at <= now()
      order by q.ready_at limit many;
  else
    return query
      select q.task_row, q.priority * 1e12::double precision + extract(epoch from q.ready_at)::double precision
      from public.agent_task_queue q
      where q.tenant_id = tenant and q.lane = ready_in_lane.lane and q.lease_until is null and q.ready_at < 'infinity' and q.ready_at <= now()
      order by q.priority, q.ready_at limit many;
  end if;
end
$function$
-- owner postgres
grant execute on function federation.ready_in_lane(text,text,boolean,integer) to federation_definer;
comment on function federation.ready_in_lane(text,text,boolean,integer) is NULL;

CREATE OR REPLACE FUNCTION federation.receipt_json(message public.agent_messages)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', message.id, 'to_agent', message.to_agent, 'type', message.type, 'stored_at', message.created_at,
    'delivered_at', message.delivered_at, 'handled_at', message.handled_at, 'dead_at', message.dead_at,
    'delivery_attempt', message.delivery_attempt, 'last_error', message.last_error)
$function$
-- owner postgres
grant execute on function federation.receipt_json(public.agent_messages) to authenticated;
grant execute on function federation.receipt_json(public.agent_messages) to federation_definer;
grant execute on function federation.receipt_json(public.agent_messages) to service_role;
comment on function federation.receipt_json(public.agent_messages) is NULL;

CREATE OR REPLACE FUNCTION federation.release_tasks(tenant text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  task public.agent_tasks;
  released integer := 0;
begin
  for task in
    select t.* from public.agent_task_queue q join public.agent_tasks t on t.row_id = q.task_row
    where q.tenant_id = tenant and q.lease_until < now() and t.ended_at is null
    order by q.lease_until limit 500 for update of t skip locked
  loop
    -- Unless it was renewed just before it was locked.
    continue when not exists (
      select from public.agent_task_queue q where q.tenant_id = tenant and q.task_row = task.row_id and q.lease_until < now());
    perform federation.give_back(task, 'the lease of ' || coalesce(task.lease_agent, 'its worker') || ' ran out', now());
    released := released + 1;
  end loop;
  for task in
    select t.* from public.agent_tasks t
    where t.tenant_id = tenant and t.ended_at is null and (t.deadline is not null or t.expires_at is not null)
      and least(t.deadline, t.expires_at) < now()
    order by least(t.deadline, t.expires_at) limit 500 for update skip locked
  loop
    perform federation.end_task(task, 'failed', case when task.deadline < now() then 'its deadline passed' else 'it expired' end);
    released := released + 1;
  end loop;
  return released + federation.settle_dependents(tenant);
end
$function$
-- owner postgres
grant execute on function federation.release_tasks(text) to federation_definer;
comment on function federation.release_tasks(text) is NULL;

CREATE OR REPLACE FUNCTION federation.remove(tenant text, agent text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  counts jsonb := '{}';
  removed integer;
  ids text[];
begin
  perform set_config('federation.quiet', 'on', true);
  ids := array(
    select k.id from public.agent_memories k where k.tenant_id = tenant and k.agent_id = agent
    union all
    select m.id from public.agent_messages m where m.tenant_id = tenant and agent in (m.from_agent, m.to_agent));
  delete from public.agent_task_queue q using public.agent_tasks t
  where q.tenant_id = tenant and t.row_id = q.task_row and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_task_queue', removed);
  delete from public.agent_tasks t
  where t.tenant_id = tenant and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_tasks', removed);
  delete from public.agent_locks l where l.tenant_id = tenant and (agent is null or l.holder = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_locks', removed);
  delete from public.agent_message_failures f where f.tenant_id = tenant and (agent is null or f.agent_id = agent);
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from federation.session_news n where n.tenant_id = tenant and (agent is null or n.session_id in (
    select s.session_id from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = agent));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  update public.agent_memories k set session_agent = null where k.tenant_id = tenant and k.session_agent = agent;
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  delete from federation.upkeep u where u.tenant_id = tenant and agent is null;
  delete from federation.feed_places p where p.tenant_id = tenant and (agent is null or p.agent_id = agent);
  perform set_config('federation.quiet', '', true);
  return counts;
end
$function$
-- owner postgres
grant execute on function federation.remove(text,text) to federation_definer;
comment on function federation.remove(text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.remove_expired_memories(tenant text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  changed integer;
  removed integer;
begin
  update public.agent_memories k set deleted_at = now()
  where k.tenant_id = tenant and k.expires_at <= now() and k.deleted_at is null and k.version > 1;
  get diagnostics changed = row_count;
  delete from public.agent_memories k
  where k.tenant_id = tenant and k.expires_at <= now() and k.deleted_at is null;
  get diagnostics removed = row_count;
  return changed + removed;
end
$function$
-- owner federation_definer
grant execute on function federation.remove_expired_memories(text) to authenticated;
grant execute on function federation.remove_expired_memories(text) to service_role;
comment on function federation.remove_expired_memories(text) is NULL;

CREATE OR REPLACE FUNCTION federation.remove_old_events(tenant text, max_rows integer)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  before timestamptz := now() - (select s.events_kept from federation.sync_settings s);
  removed integer;
begin
  delete from public.agent_events e using (
    select o.row_id, o.created_at from public.agent_events o where o.tenant_id = tenant order by o.seq limit max_rows) old
  where e.row_id = old.row_id and old.created_at < before;
  get diagnostics removed = row_count;
  return removed;
end
$function$
-- owner postgres
grant execute on function federation.remove_old_events(text,integer) to federation_definer;
comment on function federation.remove_old_events(text,integer) is 'Removes events of a tenant whose time is over; how many.';

CREATE OR REPLACE FUNCTION federation.remove_old_messages(tenant text, max_rows integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  before timestamptz := now() - (select s.messages_kept from federation.sync_settings s);
  given_up interval := (select s.waiting_kept from federation.sync_settings s);
  old uuid[];
  removed integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('federation.remove_old_messages ' || tenant, 0)) then
    return 0;
  end if;
  if given_up is not null then
    -- Agent by agent, each by one look at its oldest.
    with recursive boxes as (
      (select m.to_agent from public.agent_messages m
       where m.tenant_id = tenant and m.to_agent is not null and m.handled_at is null and m.dead_at is null order by m.to_agent limit 1)
      union all
      select (select m.to_agent from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent > b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.to_agent limit 1)
      from boxes b where b.to_agent is not null),
    waiting as (
      select w.row_id from boxes b cross join lateral (
        select m.row_id, m.created_at, m.expires_at from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent = b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.seq limit max_rows) w
      where w.created_at < now() - given_up and (w.expires_at is null or w.expires_at > now())
      limit max_rows)
    update public.agent_messages m set
      dead_at = now(),
      last_error = coalesce(m.last_error, format('waited for %s days, and no handler came to its end', extract(day from given_up)))
    from waiting w where m.row_id = w.row_id;
  end if;
  old := array(
      select h.row_id from public.agent_messages h where h.tenant_id = tenant and h.handled_at < before
      order by h.handled_at limit max_rows for update skip locked)
    || array(
      select e.row_id from public.agent_messages e
      where e.tenant_id = tenant and e.expires_at < now() - interval '1 day' and e.handled_at is null
      order by e.expires_at limit max_rows for update skip locked)
    || array(
      select d.row_id from public.agent_messages d where d.tenant_id = tenant and d.dead_at < before
      limit max_rows for update skip locked)
    || array(
      select b.row_id from (
        select a.row_id, a.created_at from public.agent_messages a
        where a.tenant_id = tenant and a.to_agent is null order by a.tx, a.seq limit max_rows) b
      where b.created_at < before);
  delete from public.agent_messages m where m.row_id = any (old[1:max_rows]);
  get diagnostics removed = row_count;
  delete from federation.feed_places p where p.tenant_id = tenant and greatest(p.moved_at, p.memory_at) < before and not exists (
    select from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = p.agent_id and s.ended_at is null);
  return removed;
end
$function$
-- owner federation_definer
grant execute on function federation.remove_old_messages(text,integer) to authenticated;
grant execute on function federation.remove_old_messages(text,integer) to service_role;
comment on function federation.remove_old_messages(text,integer) is 'Removes messages of a tenant whose time is over; how many.';

CREATE OR REPLACE FUNCTION federation.remove_tombstones(tenant text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  before timestamptz := now() - (select s.tombstones_kept from federation.sync_settings s);
  removed integer;
  last record;
begin
  delete from public.agent_memories k where k.tenant_id = tenant and k.deleted_at is not null and k.updated_at < before;
  get diagnostics removed = row_count;
  -- The delete's trigger has raised the floor for the memories; these are no memories.
  with gone as (
    delete from federation.hidden_memories h where h.tenant_id = tenant and h.hidden_at < before returning h.tx, h.seq)
  select g.tx, g.seq into last from gone g order by g.tx desc, g.seq desc limit 1;
  if found then
    perform federation.raise_floor(tenant, last.tx, last.seq);
  end if;
  return removed;
end
$function$
-- owner federation_definer
grant execute on function federation.remove_tombstones(text) to authenticated;
grant execute on function federation.remove_tombstones(text) to service_role;
comment on function federation.remove_tombstones(text) is NULL;

CREATE OR REPLACE FUNCTION federation.replica_text(memory public.agent_memories, is_brief boolean DEFAULT false)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  select case
    when memory.deleted_at is not null or memory.expires_at <= now() then (
      federation.memory_facts(memory) || jsonb_build_object(
        'content', null, 'embedding', null, 'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'content_hash', null,
        'deleted_at', coalesce(memory.deleted_at, memory.expires_at)))::text
    when is_brief then federation.memory_facts(memory)::text
    else federation.memory_text(memory)
  end
$function$
-- owner postgres
grant execute on function federation.replica_text(public.agent_memories,boolean) to authenticated;
grant execute on function federation.replica_text(public.agent_memories,boolean) to service_role;
comment on function federation.replica_text(public.agent_memories,boolean) is NULL;

CREATE OR REPLACE FUNCTION federation.room_topic()
 RETURNS text
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select 'federation:' || federation.tenant_id() $function$
-- owner postgres
grant execute on function federation.room_topic() to authenticated;
grant execute on function federation.room_topic() to federation_definer;
grant execute on function federation.room_topic() to service_role;
comment on function federation.room_topic() is NULL;

CREATE OR REPLACE FUNCTION federation.session_json(session public.agent_sessions)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select to_jsonb(session) - '{row_id,tx}'::text[] $function$
-- owner postgres
grant execute on function federation.session_json(public.agent_sessions) to authenticated;
grant execute on function federation.session_json(public.agent_sessions) to federation_definer;
grant execute on function federation.session_json(public.agent_sessions) to service_role;
comment on function federation.session_json(public.agent_sessions) is NULL;

CREATE OR REPLACE FUNCTION federation.session_news_json(session public.agent_sessions)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select to_jsonb(session) - '{row_id,tx,tenant_id,version,timeout_seconds}'::text[]
    - case when octet_length(session.metadata::text) > 2048 then '{metadata}' else '{}' end::text[]
$function$
-- owner postgres
grant execute on function federation.session_news_json(public.agent_sessions) to federation_definer;
comment on function federation.session_news_json(public.agent_sessions) is NULL;

CREATE OR REPLACE FUNCTION federation.settle_dependent(task public.agent_tasks)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  failed public.agent_tasks;
begin
  if coalesce(task.details ->> 'on_dependency_failure', 'fail') = 'fail' then
    select d.* into failed from public.agent_tasks d
    where d.tenant_id = task.tenant_id and d.task_id = any (task.dependencies) and d.ended_at is not null and d.status <> 'completed'
    order by d.ended_at limit 1;
    if found then
      perform federation.end_task(
        task, 'failed', 'task ' || quote_literal(failed.task_id) || ', which it depends on, is ' || failed.status);
      return false;
    end if;
  end if;
  if federation.is_waiting(task) then
    return true;
  end if;
  update public.agent_task_queue q set ready_at = now(), look_from = null
  where q.tenant_id = task.tenant_id and q.task_row = task.row_id and q.ready_at = 'infinity';
  return false;
end
$function$
-- owner postgres
grant execute on function federation.settle_dependent(public.agent_tasks) to federation_definer;
comment on function federation.settle_dependent(public.agent_tasks) is NULL;

CREATE OR REPLACE FUNCTION federation.settle_dependents(tenant text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  ended_before constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  held record;
  settled integer := 0;
begin
  for held in
    select t as task, q.look_from from public.agent_task_queue q join public.agent_tasks t on t.row_id = q.task_row
    where q.tenant_id = tenant and q.look_from <= ended_before and t.ended_at is null
    order by q.look_from limit 500 for update of t skip locked
  loop
    if not federation.settle_dependent(held.task) then
      settled := settled + 1;
    else
      update public.agent_task_queue q
      set look_from = case when held.look_from = '0' then pg_snapshot_xmax(pg_current_snapshot()) end
      where q.tenant_id = tenant and q.task_row = (held.task).row_id;
    end if;
  end loop;
  return settled;
end
$function$
-- owner postgres
grant execute on function federation.settle_dependents(text) to federation_definer;
comment on function federation.settle_dependents(text) is NULL;

CREATE OR REPLACE FUNCTION federation.speaks_for(task public.agent_tasks, agent text, fence bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if agent is distinct from coalesce(task.lease_agent, task.assigned_to) and agent <> all (task.holders) then
    raise exception 'task % is not this agent''s', quote_literal(task.task_id) using errcode = '42501';
  end if;
  return task.ended_at is null and agent = coalesce(task.lease_agent, task.assigned_to) and coalesce(fence, task.fence) = task.fence;
end
$function$
-- owner postgres
grant execute on function federation.speaks_for(public.agent_tasks,text,bigint) to federation_definer;
comment on function federation.speaks_for(public.agent_tasks,text,bigint) is NULL;

CREATE OR REPLACE FUNCTION federation.stamp()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  new.tx := pg_catalog.pg_current_xact_id();
  new.seq := pg_catalog.nextval('federation.change_seq'::pg_catalog.regclass);
  return new;
end
$function$
-- owner postgres
comment on function federation.stamp() is 'Trigger: sets tx and seq.';

CREATE OR REPLACE FUNCTION federation.stop_acting(outer_tenant text, outer_agent text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform set_config('federation.tenant', outer_tenant, true), set_config('federation.agent', outer_agent, true);
end
$function$
-- owner postgres
grant execute on function federation.stop_acting(text,text) to authenticated;
grant execute on function federation.stop_acting(text,text) to federation_definer;
grant execute on function federation.stop_acting(text,text) to service_role;
comment on function federation.stop_acting(text,text) is 'Ends what act_as() began.';

CREATE OR REPLACE FUNCTION federation.store_message(message public.agent_messages)
 RETURNS public.agent_messages
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  stored public.agent_messages;
begin
  message := federation.in_chain(message);
  insert into public.agent_messages (
    tenant_id, id, from_agent, to_agent, type, payload, reply_to, correlation_id, hop_count, sender_seq, instance_id,
    traceparent, expires_at)
  values (
    message.tenant_id, message.id, message.from_agent, message.to_agent, message.type, message.payload, message.reply_to,
    message.correlation_id, message.hop_count, message.sender_seq, message.instance_id, message.traceparent, message.expires_at)
  on conflict (tenant_id, id) do nothing
  returning * into stored;
  if stored.row_id is not null then
    return stored;
  end if;
  select * into stored from public.agent_messages m where m.tenant_id = message.tenant_id and m.id = message.id;
  if (stored.from_agent, stored.to_agent, stored.type, stored.payload, stored.reply_to) is distinct from
     (message.from_agent, message.to_agent, message.type, message.payload, message.reply_to) then
    raise exception 'message % exists already, with other content', quote_literal(message.id) using errcode = '23505',
      hint = 'An id stands for one message; use it again only to repeat that message.';
  end if;
  return stored;
end
$function$
-- owner postgres
grant execute on function federation.store_message(public.agent_messages) to federation_definer;
comment on function federation.store_message(public.agent_messages) is NULL;

CREATE OR REPLACE FUNCTION federation.store_tasks(tasks jsonb, tenant text, agent text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  meant public.agent_tasks[];
  fresh uuid[];
  other text;
  stored record;
  message public.agent_messages;
  messages public.agent_messages[] := '{}';
begin
  select array_agg(federation.task_of(e.task, tenant, agent) order by e.place) into meant
  from jsonb_array_elements(tasks) with ordinality e(task, place);

  with inserted as (
    insert into public.agent_tasks (
      tenant_id, task_id, assigned_by, assigned_to, capability, description, priority, deadline, dependencies, details, status,
      max_attempts, content_hash, hop_count, correlation_id, reply_to, traceparent, expires_at)
    select m.tenant_id, m.task_id, m.assigned_by, m.assigned_to, m.capability, m.description, m.priority, m.deadline, m.dependencies,
      m.details, m.status, m.max_attempts, m.content_hash, m.hop_count, m.correlation_id, m.reply_to, m.traceparent, m.expires_at
    from unnest(meant) with ordinality m order by m.ordinality
    on conflict (tenant_id, task_id) do nothing
    returning row_id)
  select coalesce(array_agg(i.row_id), '{}') into fresh from inserted i;

  select t.task_id into other
  from unnest(meant) with ordinality m join public.agent_tasks t on t.tenant_id = m.tenant_id and t.task_id = m.task_id
  where t.content_hash <> m.content_hash
    -- Stored before, with the trace in the hash.
    and t.content_hash <> encode(sha256(convert_to((tasks -> (m.ordinality - 1)::integer)::text, 'UTF8')), 'hex')
  order by m.ordinality limit 1;
  if found then
    raise exception 'task % exists already, with other content', quote_literal(other) using errcode = '23505',
      hint = 'A task id stands for one task; use it again only to repeat that assignment.';
  end if;

  insert into public.agent_task_queue (tenant_id, task_row, assigned_to, capability, priority)
  select t.tenant_id, t.row_id, t.assigned_to, t.capability, array_position(array['critical', 'high', 'medium', 'low'], t.priority) - 1
  from public.agent_tasks t where t.tenant_id = tenant and t.row_id = any (fresh) order by t.seq;

  for stored in
    select distinct on (t.seq) t.*, e.task as said
    from jsonb_array_elements(tasks) with ordinality e(task, place)
    join public.agent_tasks t on t.tenant_id = tenant and t.task_id = e.task ->> 'task_id'
    where t.row_id = any (fresh) and t.assigned_to is not null
    order by t.seq, e.place
  loop
    message.tenant_id := tenant;
    message.id := gen_random_uuid();
    message.from_agent := agent;
    message.to_agent := stored.assigned_to;
    message.type := 'task_assignment';
    message.payload := stored.said || jsonb_build_object('assigned_by', agent);
    message.hop_count := stored.hop_count;
    message.correlation_id := coalesce(stored.correlation_id, stored.task_id);
    message.reply_to := stored.reply_to;
    message.traceparent := stored.traceparent;
    message.expires_at := stored.expires_at;
    messages := array_append(messages, federation.in_chain(message));
  end loop;
  insert into public.agent_messages (
    tenant_id, id, from_agent, to_agent, type, payload, reply_to, correlation_id, hop_count, traceparent, expires_at)
  select m.tenant_id, m.id, m.from_agent, m.to_agent, m.type, m.payload, m.reply_to, m.correlation_id, m.hop_count, m.traceparent,
    m.expires_at
  from unnest(messages) with ordinality m order by m.ordinality;

  return query
    select federation.task_json(t)
    from unnest(meant) with ordinality m join public.agent_tasks t on t.tenant_id = m.tenant_id and t.task_id = m.task_id
    order by m.ordinality;
end
$function$
-- owner postgres
grant execute on function federation.store_tasks(jsonb,text,text) to federation_definer;
comment on function federation.store_tasks(jsonb,text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.sweep(tenant text, at_once boolean DEFAULT false)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  done jsonb := '{}';
  looked_at timestamptz;
  removed integer;
  forgotten integer;
  lock public.agent_locks;
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep as u (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at
  returning u.messages_at into looked_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  for lock in
    delete from public.agent_locks l where l.row_id in (
      select d.row_id from public.agent_locks d where d.tenant_id = tenant and d.expires_at < clock_timestamp()
      order by d.expires_at limit 500 for update skip locked)
    returning l.*
  loop
    perform federation.announce('federation:' || tenant || ':feed', 'lock', jsonb_build_object(
      'name', lock.name, 'state', 'freed', 'holder', lock.holder, 'fence', lock.fence));
  end loop;
  if looked_at < clock_timestamp() - interval '1 minute' then
    removed := federation.remove_old_messages(tenant, 1000);
    forgotten := federation.remove_old_events(tenant, 1000);
    if removed < 1000 and forgotten < 1000 then
      update federation.upkeep u set messages_at = clock_timestamp() where u.tenant_id = tenant;
    end if;
    done := done || jsonb_build_object('messages', removed, 'events', forgotten);
  end if;
  perform federation.tell_sessions(tenant);
  return done;
end
$function$
-- owner postgres
grant execute on function federation.sweep(text,boolean) to federation_definer;
comment on function federation.sweep(text,boolean) is 'Ends what has timed out in a tenant; counts what it did.';

CREATE OR REPLACE FUNCTION federation.sweep_own()
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select federation.sweep(federation.tenant_id(), true) $function$
-- owner federation_definer
grant execute on function federation.sweep_own() to authenticated;
grant execute on function federation.sweep_own() to service_role;
comment on function federation.sweep_own() is NULL;

CREATE OR REPLACE FUNCTION federation.take_tasks(tenant text, agent text, max_tasks integer, capabilities text[], instance_id text, claim_id uuid)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  by_age constant boolean := random() < 0.1;
  chosen uuid[];
  taken uuid[];
  until constant timestamptz := now() + interval '20 seconds';
begin
  -- Others claim at the same time: a few more candidates than wanted, and of those the ones that nobody else has.
  chosen := array(
    select c.task_row
    from (
      select 'agent ' || take_tasks.agent as lane union
      select 'able ' || wanted from unnest(coalesce(take_tasks.capabilities, '{}') || ''::text) wanted where wanted is not null) l,
      lateral federation.ready_in_lane(take_tasks.tenant, l.lane, by_age, take_tasks.max_tasks + 32) c
    order by c.rank limit take_tasks.max_tasks + 32);
  if cardinality(chosen) = 0 then
    return;
  end if;
  -- The task first, as in every function: one that is cancelled at the same time is passed over, and nobody waits in a circle.
  chosen := array(
    select t.row_id from public.agent_tasks t
    where t.tenant_id = take_tasks.tenant and t.row_id = any (chosen) and t.status in ('pending', 'assigned')
    order by array_position(chosen, t.row_id) limit take_tasks.max_tasks for update skip locked);
  -- It may have been claimed and given back since it was read.
  with leased as (
    update public.agent_task_queue q set lease_until = until, fence = q.fence + 1, claim_id = take_tasks.claim_id
    where q.tenant_id = take_tasks.tenant and q.task_row = any (chosen) and q.lease_until is null and q.ready_at <= now()
    returning q.task_row)
  select array_agg(l.task_row) into taken from leased l;
  return query
    with claimed as (
      update public.agent_tasks t set
        status = 'in_progress', attempt = t.attempt + 1, fence = t.fence + 1, lease_until = until, lease_agent = take_tasks.agent,
        instance_id = take_tasks.instance_id, started_at = coalesce(t.started_at, now()), progress = null, progress_note = null,
        holders = case when take_tasks.agent = any (t.holders) then t.holders else t.holders || take_tasks.agent end
      where t.tenant_id = take_tasks.tenant and t.row_id = any (taken)
      returning t.*)
    select federation.task_json(c::public.agent_tasks) from claimed c order by array_position(chosen, c.row_id);
end
$function$
-- owner postgres
grant execute on function federation.take_tasks(text,text,integer,text[],text,uuid) to federation_definer;
comment on function federation.take_tasks(text,text,integer,text[],text,uuid) is NULL;

CREATE OR REPLACE FUNCTION federation.taken_memory(tenant text, ids text[], owners text[])
 RETURNS text
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  return (
    select k.id from unnest(ids, owners) as wanted (id, owner)
    cross join lateral (
      select m.id, m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
    where k.agent_id <> wanted.owner
    limit 1);
end
$function$
-- owner federation_definer
grant execute on function federation.taken_memory(text,text[],text[]) to authenticated;
grant execute on function federation.taken_memory(text,text[],text[]) to service_role;
comment on function federation.taken_memory(text,text[],text[]) is NULL;

CREATE OR REPLACE FUNCTION federation.taken_places(tenant text, ids text[], owners text[])
 RETURNS integer[]
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  return (
    select array_agg(wanted.place::integer) from unnest(ids, owners) with ordinality as wanted (id, owner, place)
    cross join lateral (
      select m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
    where k.agent_id <> wanted.owner);
end
$function$
-- owner federation_definer
grant execute on function federation.taken_places(text,text[],text[]) to authenticated;
grant execute on function federation.taken_places(text,text[],text[]) to service_role;
comment on function federation.taken_places(text,text[],text[]) is NULL;

CREATE OR REPLACE FUNCTION federation.task_json(task public.agent_tasks)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select task.details || (to_jsonb(task) - '{row_id,tx,details}'::text[]) $function$
-- owner postgres
grant execute on function federation.task_json(public.agent_tasks) to authenticated;
grant execute on function federation.task_json(public.agent_tasks) to federation_definer;
grant execute on function federation.task_json(public.agent_tasks) to service_role;
comment on function federation.task_json(public.agent_tasks) is NULL;

CREATE OR REPLACE FUNCTION federation.task_news(task public.agent_tasks, change text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_strip_nulls(jsonb_build_object(
    'change', change, 'task_id', task.task_id, 'status', task.status, 'assigned_to', task.assigned_to,
    'assigned_by', task.assigned_by, 'capability', task.capability, 'agent', task.lease_agent, 'attempt', task.attempt,
    'progress', task.progress, 'note', left(task.progress_note, 2000), 'question', left(task.question, 2000),
    'error', left(task.error, 2000)))
$function$
-- owner postgres
grant execute on function federation.task_news(public.agent_tasks,text) to federation_definer;
comment on function federation.task_news(public.agent_tasks,text) is NULL;

CREATE OR REPLACE FUNCTION federation.task_of(task jsonb, tenant text, agent text)
 RETURNS public.agent_tasks
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  known constant text[] := array['task_id', 'assigned_to', 'capability', 'description', 'priority', 'deadline', 'dependencies',
    'max_attempts', 'hop_count', 'correlation_id', 'reply_to', 'traceparent', 'expires_at'];
  meant public.agent_tasks;
begin
  if coalesce(jsonb_typeof(task), 'null') <> 'object' then
    raise exception 'task: expected an object, got %', coalesce(nullif(jsonb_typeof(task), 'null'), 'nothing') using errcode = '22023';
  end if;
  perform federation.check_json('task', task), federation.check_text('task_id', task ->> 'task_id', 255),
    federation.check_agent('assigned_to', task ->> 'assigned_to'),
    federation.check_text('description', task ->> 'description', 1048576),
    federation.check_text('capability', task ->> 'capability', 255, false),
    federation.check_text('correlation_id', task ->> 'correlation_id', 255, false),
    federation.check_text('reply_to', task ->> 'reply_to', 255, false),
    federation.check_text('traceparent', task ->> 'traceparent', 255, false);
  -- A forgotten recipient is not "whoever is free": that is said with an explicit null, or with a capability.
  if not task ? 'assigned_to' and task ->> 'capability' is null then
    raise exception 'assigned_to: expected an agent (or null for whoever is free, or a capability), got nothing' using errcode = '22023';
  end if;
  if coalesce(task ->> 'priority', 'medium') not in ('critical', 'high', 'medium', 'low') then
    raise exception 'priority: expected critical, high, medium or low, got %', quote_literal(task ->> 'priority') using errcode = '22023';
  end if;
  if jsonb_typeof(task -> 'dependencies') not in ('array', 'null') then
    raise exception 'dependencies: expected an array of task ids, got %', jsonb_typeof(task -> 'dependencies') using errcode = '22023';
  end if;
  begin
    meant.deadline := task ->> 'deadline';
    meant.expires_at := task ->> 'expires_at';
    meant.max_attempts := coalesce(task ->> 'max_attempts', '3');
    meant.hop_count := coalesce(task ->> 'hop_count', '0');
  exception when data_exception then
    raise exception 'task: %', sqlerrm using errcode = '22023';
  end;
  if meant.max_attempts not between 1 and 1000 or meant.hop_count < 0 then
    raise exception 'expected max_attempts 1 to 1000 and hop_count 0 or more, got % and %',
      meant.max_attempts, meant.hop_count using errcode = '22023';
  end if;
  meant.tenant_id := tenant;
  meant.task_id := task ->> 'task_id';
  meant.assigned_by := agent;
  meant.assigned_to := task ->> 'assigned_to';
  meant.capability := task ->> 'capability';
  meant.description := task ->> 'description';
  meant.priority := coalesce(task ->> 'priority', 'medium');
  meant.dependencies :=
    array(select jsonb_array_elements_text(case jsonb_typeof(task -> 'dependencies') when 'array' then task -> 'dependencies' else '[]' end));
  meant.details := task - known;
  meant.status := case when task ->> 'assigned_to' is null then 'pending' else 'assigned' end;
  meant.content_hash := encode(sha256(convert_to((task - 'traceparent')::text, 'UTF8')), 'hex');
  meant.correlation_id := task ->> 'correlation_id';
  meant.reply_to := task ->> 'reply_to';
  meant.traceparent := task ->> 'traceparent';
  return meant;
end
$function$
-- owner postgres
grant execute on function federation.task_of(jsonb,text,text) to federation_definer;
comment on function federation.task_of(jsonb,text,text) is NULL;

CREATE OR REPLACE FUNCTION federation.tasks_named(tenant text, named jsonb)
 RETURNS TABLE(row_id uuid, said jsonb)
 LANGUAGE sql
 STABLE ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select t.row_id, n.said
  from (select e.value as said, e.value ->> 'task_id' as task_id from jsonb_array_elements(named) e offset 0) n, lateral (
    select a.row_id from public.agent_tasks a where a.tenant_id = tenant and a.task_id = n.task_id offset 0) t
$function$
-- owner postgres
grant execute on function federation.tasks_named(text,jsonb) to federation_definer;
comment on function federation.tasks_named(text,jsonb) is 'The tasks that are named, each with what was said of it.';

CREATE OR REPLACE FUNCTION federation.tell_broadcast(message public.agent_messages)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  receipt jsonb;
begin
  if not message.receipts or message.handled_at is not null then
    return;
  end if;
  receipt := federation.broadcast_receipt(message);
  if receipt ->> 'handled_at' is not null then
    update public.agent_messages m set delivered_at = coalesce(m.delivered_at, now()), handled_at = now()
    where m.row_id = message.row_id and m.handled_at is null;
  elsif receipt ->> 'dead_at' is not null then
    perform federation.announce('federation:' || message.tenant_id || ':agent:' || message.from_agent, 'receipt', receipt);
  end if;
end
$function$
-- owner postgres
grant execute on function federation.tell_broadcast(public.agent_messages) to federation_definer;
comment on function federation.tell_broadcast(public.agent_messages) is NULL;

CREATE OR REPLACE FUNCTION federation.tell_memories()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  gone constant jsonb := '{"content": null, "embedding": null, "embedding_model": null, "metadata": {}, "source": null, "content_hash": null}';
  change record;
begin
  if tg_op <> 'DELETE' then
    -- An insert that may become an update sets both triggers off, most of the time one of them for nothing.
    if not exists (select from new_rows) then
      return null;
    end if;
  end if;
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large, max(c.weight) as weight
      from (
        select 'added' as op, n.tenant_id, r.reader, n.id, n.seq, sum(federation.memory_weight(n)) over same_reader as weight,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.tell_reader(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end, change.weight);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, 'memory_stored', n.id, n.scope <> 'tenant' from new_rows n where n.deleted_at is null;
  elsif tg_op = 'UPDATE' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large, max(c.weight) as weight
      from (
        select case when n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null or r.reader <> all (federation.memory_readers(o)) then 'added'
                    else 'updated' end as op,
          n.tenant_id, r.reader, n.id, n.seq, sum(federation.memory_weight(n)) over same_reader as weight,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null or o.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)
        union all
        select 'deleted', o.tenant_id, r.reader, o.id, n.seq, null,
          federation.memory_facts(o) || gone || jsonb_build_object(
            'deleted_at', n.updated_at, 'hlc', federation.memory_facts(n) -> 'hlc', 'seq', n.seq)
          || case when r.reader = '' and o.tenant_id = n.tenant_id then jsonb_build_object('kept_by', federation.memory_readers(n)) else '{}' end
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(o)) r (reader)
        where o.deleted_at is null and (
          o.tenant_id <> n.tenant_id or ('' <> all (federation.memory_readers(n)) and r.reader <> all (federation.memory_readers(n))))) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.tell_reader(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end, change.weight);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, case when n.deleted_at is null then 'memory_stored' else 'memory_deleted' end, n.id, n.scope <> 'tenant'
    from new_rows n join old_rows o using (row_id) where n.deleted_at is null or o.deleted_at is null;
  else
    for change in
      select o.tenant_id, r.reader, array_agg(o.id order by o.seq) as ids,
        case when count(*) <= 200 then jsonb_agg(federation.memory_facts(o) || gone
          || jsonb_build_object('deleted_at', now(), 'seq', nextval('federation.change_seq')) order by o.seq) end as memories
      from old_rows o cross join lateral unnest(federation.memory_readers(o)) r (reader)
      where o.deleted_at is null
      group by o.tenant_id, r.reader
    loop
      perform federation.announce_memories('deleted', change.tenant_id, nullif(change.reader, ''), change.ids, change.memories);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select o.tenant_id, o.agent_id, 'memory_deleted', o.id, o.scope <> 'tenant' from old_rows o where o.deleted_at is null;
  end if;
  return null;
end
$function$
-- owner federation_definer
comment on function federation.tell_memories() is NULL;

CREATE OR REPLACE FUNCTION federation.tell_messages()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  box record;
begin
  for box in
    with stored as materialized (
      select n.tenant_id, n.to_agent, n.id, n.seq, federation.message_json(n) as message
      from new_rows n where coalesce(n.expires_at > clock_timestamp(), true))
    select 'federation:' || s.tenant_id || coalesce(':agent:' || s.to_agent, ':feed') as topic,
      jsonb_agg(case when octet_length(s.message::text) > 200000 then jsonb_build_object('id', s.id) else s.message end
        order by s.seq) as messages
    from stored s group by s.tenant_id, s.to_agent
  loop
    perform federation.announce(box.topic, 'message', case
      when jsonb_array_length(f.frame) > 1 then jsonb_build_object('messages', f.frame)
      when f.frame -> 0 ? 'from_agent' then jsonb_build_object('message', f.frame -> 0)
      else f.frame -> 0 end)
    from (
      select box.messages where jsonb_array_length(box.messages) = 1
      union all select f.frame from federation.frames_of(box.messages) f(frame) where jsonb_array_length(box.messages) > 1) f(frame);
  end loop;
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  select n.tenant_id, n.from_agent, 'message_stored', n.id, n.to_agent from new_rows n order by n.seq;
  return null;
end
$function$
-- owner federation_definer
comment on function federation.tell_messages() is 'Trigger: tells recipients what was stored for them.';

CREATE OR REPLACE FUNCTION federation.tell_reader(op text, tenant text, reader text, ids text[], memories jsonb, weight numeric)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if weight < 33000 then
    perform federation.announce('federation:' || tenant || coalesce(':agent:' || reader, ':feed'), 'memory',
      jsonb_build_object('op', op, 'memories', memories));
  else
    perform federation.announce_memories(op, tenant, reader, ids, memories);
  end if;
end
$function$
-- owner postgres
grant execute on function federation.tell_reader(text,text,text,text[],jsonb,numeric) to federation_definer;
comment on function federation.tell_reader(text,text,text,text[],jsonb,numeric) is NULL;

CREATE OR REPLACE FUNCTION federation.tell_receipt()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if new.receipts and (old.delivered_at, old.handled_at, old.dead_at) is distinct from (new.delivered_at, new.handled_at, new.dead_at) then
    perform federation.announce(
      'federation:' || new.tenant_id || ':agent:' || new.from_agent, 'receipt', federation.receipt_json(new));
  end if;
  return null;
end
$function$
-- owner federation_definer
comment on function federation.tell_receipt() is NULL;

CREATE OR REPLACE FUNCTION federation.tell_session()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' or (old.ended_at is not null and new.ended_at is null) then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_opened', new.session_id);
  elsif old.ended_at is null and new.ended_at is not null then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_closed', new.session_id);
  elsif old.seq = new.seq then
    return null; -- a heartbeat is nobody's news
  end if;
  if federation.is_large_room(new.tenant_id) then
    insert into federation.session_news (tenant_id, session_id) values (new.tenant_id, new.session_id);
    perform federation.tell_sessions(new.tenant_id);
  else
    perform federation.announce('federation:' || new.tenant_id || ':feed', 'sessions', jsonb_build_object(
      'sessions', jsonb_build_array(federation.session_news_json(new))));
  end if;
  return null;
end
$function$
-- owner federation_definer
comment on function federation.tell_session() is NULL;

CREATE OR REPLACE FUNCTION federation.tell_sessions(tenant text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  due_ms integer;
  change record;
  after_seq bigint;
  told jsonb[] := '{}';
  newest_seq bigint;
  told_bytes integer := 0;
begin
  if not exists (select from federation.session_news n where n.tenant_id = tenant) then
    return null;
  end if;
  select ceil(600 - extract(epoch from clock_timestamp() - u.told_at) * 1000) into due_ms
  from federation.upkeep u where u.tenant_id = tenant and u.told_at > clock_timestamp() - interval '600 milliseconds';
  if due_ms > 0 then
    return due_ms;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.tell_sessions ' || tenant, 0)) then
    return 600;
  end if;
  insert into federation.upkeep as u (tenant_id, told_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set told_at = excluded.told_at
  returning u.told_seq into after_seq;
  newest_seq := after_seq;
  for change in
    with news as (
      delete from federation.session_news n where n.news_id in (
        select w.news_id from federation.session_news w where w.tenant_id = tenant
        order by w.news_id limit 5000 for update skip locked)
      returning n.session_id)
    select s.seq, federation.session_news_json(s) as session from public.agent_sessions s
    where s.tenant_id = tenant and s.session_id in (select n.session_id from news n)
    order by s.seq
  loop
    if told_bytes + octet_length(change.session::text) > 199000 then
      perform federation.announce('federation:' || tenant || ':feed', 'sessions',
        jsonb_build_object('sessions', to_jsonb(told), 'after', after_seq));
      after_seq := newest_seq;
      told := '{}';
      told_bytes := 0;
    end if;
    told := told || change.session;
    newest_seq := greatest(newest_seq, change.seq);
    told_bytes := told_bytes + octet_length(change.session::text) + 2;
  end loop;
  if cardinality(told) > 0 then
    perform federation.announce('federation:' || tenant || ':feed', 'sessions',
      jsonb_build_object('sessions', to_jsonb(told), 'after', after_seq));
  end if;
  update federation.upkeep u set told_seq = newest_seq where u.tenant_id = tenant;
  return (select 600 from federation.session_news n where n.tenant_id = tenant limit 1);
end
$function$
-- owner postgres
grant execute on function federation.tell_sessions(text) to federation_definer;
comment on function federation.tell_sessions(text) is 'Tells a large room what changed, at most every 0.6 seconds; when it may be done again.';

CREATE OR REPLACE FUNCTION federation.tell_tasks()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  change record;
  dependent public.agent_tasks;
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select n.tenant_id, jsonb_agg(federation.task_news(n, n.status) order by n.seq) as news from new_rows n group by n.tenant_id
    loop
      perform federation.announce_tasks(change.tenant_id, change.news);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    select n.tenant_id, n.assigned_by, 'task_assigned', n.task_id, n.assigned_to from new_rows n;
    return null;
  end if;
  for change in
    select c.tenant_id, jsonb_agg(federation.task_news(c.task, case when c.is_news then (c.task).status else 'progress' end)
        order by (c.task).seq) filter (where c.is_news or c.is_progress) as news,
      array_agg((c.task).task_id) filter (where c.has_ended) as ended
    from (
      select n.tenant_id, n::public.agent_tasks as task, o.ended_at is null and n.ended_at is not null as has_ended,
        (o.status, o.assigned_to, o.attempt) is distinct from (n.status, n.assigned_to, n.attempt) as is_news,
        (o.progress, o.progress_note) is distinct from (n.progress, n.progress_note) as is_progress
      from new_rows n join old_rows o using (row_id)) c
    group by c.tenant_id
  loop
    if change.news is not null then
      perform federation.announce_tasks(change.tenant_id, change.news);
    end if;
    continue when change.ended is null;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    select n.tenant_id, coalesce(n.lease_agent, n.assigned_to, n.assigned_by), 'task_' || n.status, n.task_id, n.assigned_by
    from new_rows n where n.tenant_id = change.tenant_id and n.task_id = any (change.ended);
    -- In the order of their ids, so that two that end at once wait for each other in one order.
    for dependent in
      select t.* from public.agent_tasks t
      where t.tenant_id = change.tenant_id and t.ended_at is null and t.dependencies <> '{}' and t.dependencies && change.ended
      order by t.task_id for update
    loop
      perform federation.settle_dependent(dependent);
    end loop;
  end loop;
  return null;
end
$function$
-- owner federation_definer
comment on function federation.tell_tasks() is NULL;

CREATE OR REPLACE FUNCTION federation.tenant_id()
 RETURNS text
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
  tenant text;
begin
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    if federation.agent_id() is not null then
      tenant := claims #>> '{app_metadata,tenant_id}';
    end if;
  else
    tenant := nullif(current_setting('federation.tenant', true), '');
    if tenant is null and claims is null then
      tenant := current_setting('app.current_tenant', true);
    end if;
  end if;
  return case when tenant ~ '^[A-Za-z0-9._@-]{1,128}$' then tenant end;
end
$function$
-- owner postgres
grant execute on function federation.tenant_id() to authenticated;
grant execute on function federation.tenant_id() to federation_definer;
grant execute on function federation.tenant_id() to service_role;
comment on function federation.tenant_id() is 'The tenant of whoever asks, or null, which sees nothing.';

CREATE OR REPLACE FUNCTION federation.tenants_with_events()
 RETURNS SETOF text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  with recursive tenants as (
    (select e.tenant_id from public.agent_events e order by e.tenant_id limit 1)
    union all
    select (select e.tenant_id from public.agent_events e where e.tenant_id > t.tenant_id order by e.tenant_id limit 1)
    from tenants t where t.tenant_id is not null)
  select t.tenant_id from tenants t where t.tenant_id is not null
$function$
-- owner postgres
grant execute on function federation.tenants_with_events() to federation_definer;
comment on function federation.tenants_with_events() is NULL;

CREATE OR REPLACE FUNCTION federation.tenants_with_messages()
 RETURNS SETOF text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  with recursive tenants as (
    (select m.tenant_id from public.agent_messages m order by m.tenant_id limit 1)
    union all
    select (select m.tenant_id from public.agent_messages m where m.tenant_id > t.tenant_id order by m.tenant_id limit 1)
    from tenants t where t.tenant_id is not null)
  select t.tenant_id from tenants t where t.tenant_id is not null
$function$
-- owner postgres
grant execute on function federation.tenants_with_messages() to service_role;
comment on function federation.tenants_with_messages() is NULL;

CREATE OR REPLACE FUNCTION federation.tenants_with_old_tombstones()
 RETURNS SETOF text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select k.tenant_id from public.agent_memories k, federation.sync_settings s
  where k.deleted_at is not null and k.updated_at < now() - s.tombstones_kept
  union
  select h.tenant_id from federation.hidden_memories h, federation.sync_settings s where h.hidden_at < now() - s.tombstones_kept
$function$
-- owner postgres
grant execute on function federation.tenants_with_old_tombstones() to service_role;
comment on function federation.tenants_with_old_tombstones() is NULL;

CREATE OR REPLACE FUNCTION federation.wake_workers()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  ready public.agent_task_queue[];
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    select array_agg(n::public.agent_task_queue) into ready from new_rows n where n.lease_until is null and n.ready_at < 'infinity';
  else
    select array_agg(n::public.agent_task_queue) into ready from new_rows n join old_rows o using (row_id)
    where n.lease_until is null and n.ready_at < 'infinity' and (o.lease_until is not null or o.ready_at is distinct from n.ready_at);
  end if;
  if ready is null then
    return null;
  end if;
  perform federation.announce(
    box.topic, 'task_ready', case when jsonb_array_length(f.frame) > 1 then jsonb_build_object('tasks', f.frame) else f.frame -> 0 end)
  from (
    select 'federation:' || q.tenant_id || coalesce(':agent:' || q.assigned_to, ':feed') as topic,
      jsonb_agg(jsonb_build_object(
        'task_id', t.task_id, 'assigned_by', t.assigned_by, 'assigned_to', q.assigned_to, 'capability', q.capability,
        'ready_in_ms', greatest(0, ceil(extract(epoch from q.ready_at - now()) * 1000))) order by q.seq) as tasks
    from unnest(ready) q join public.agent_tasks t on t.row_id = q.task_row
    group by q.tenant_id, q.assigned_to
    order by min(q.seq)) box,
    federation.frames_of(box.tasks) f(frame);
  return null;
end
$function$
-- owner federation_definer
comment on function federation.wake_workers() is 'Trigger: tells workers what can be claimed.';

CREATE OR REPLACE FUNCTION federation.words_query(text text)
 RETURNS tsquery
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select string_agg(
    '''' || replace(replace(w.lexeme, '\', '\\'), '''', '''''') || case when w.is_last then ''':*' else '''' end, ' | ')::tsquery
  from (
    select t.lexeme, p.last = max(p.last) over () as is_last
    from unnest(to_tsvector('pg_catalog.simple'::regconfig, words_query.text)) t
    cross join lateral (select max(x) as last from unnest(t.positions) x) p) w
$function$
-- owner postgres
grant execute on function federation.words_query(text) to authenticated;
grant execute on function federation.words_query(text) to service_role;
comment on function federation.words_query(text) is NULL;

CREATE OR REPLACE FUNCTION public.answer_task(task_id text, answer jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_json('answer', answer_task.answer);
  if answer_task.answer is null then
    raise exception 'answer: expected a value, got nothing' using errcode = '22023';
  end if;
  task := federation.lock_task(who.tenant, answer_task.task_id);
  if task.status <> 'input_required' then
    raise exception 'task % is %: it has asked nothing', quote_literal(answer_task.task_id), task.status using errcode = '55000';
  end if;
  update public.agent_tasks t set status = 'in_progress', answer = answer_task.answer
  where t.row_id = task.row_id returning t.* into task;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$function$
-- owner federation_definer
grant execute on function public.answer_task(text,jsonb,text,text) to authenticated;
grant execute on function public.answer_task(text,jsonb,text,text) to service_role;
comment on function public.answer_task(text,jsonb,text,text) is 'Answers the question of a task, by any member of the tenant.';

CREATE OR REPLACE FUNCTION public.ask_receipts(id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  message public.agent_messages;
  receipt jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = ask_receipts.id and m.from_agent = who.agent for update;
  if message.row_id is null then
    raise exception 'no message % of this sender', quote_literal(ask_receipts.id) using errcode = 'P0002';
  end if;
  update public.agent_messages m set receipts = true where m.row_id = message.row_id and not m.receipts;
  if message.to_agent is not null then
    receipt := federation.receipt_json(message);
  else
    receipt := federation.broadcast_receipt(message);
    if not message.receipts and receipt ->> 'handled_at' is null then
      perform federation.announce('federation:' || who.tenant || ':feed', 'place_asked', jsonb_build_object(
        'within_ms', 2 * (receipt ->> 'recipients')::integer));
    end if;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return receipt;
end
$function$
-- owner federation_definer
grant execute on function public.ask_receipts(text,text,text) to authenticated;
grant execute on function public.ask_receipts(text,text,text) to service_role;
comment on function public.ask_receipts(text,text,text) is 'From now on the acting agent is told how far its message gets; answers how far it has got.';

CREATE OR REPLACE FUNCTION public.assign_task(task jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  stored jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select s.stored into stored from federation.store_tasks(jsonb_build_array(task), who.tenant, who.agent) s(stored);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return stored;
end
$function$
-- owner federation_definer
grant execute on function public.assign_task(jsonb,text,text) to authenticated;
grant execute on function public.assign_task(jsonb,text,text) to service_role;
comment on function public.assign_task(jsonb,text,text) is 'Stores a task and tells the agent it is for; the same content again is the same task.';

CREATE OR REPLACE FUNCTION public.assign_tasks(tasks jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if tasks is null or jsonb_typeof(tasks) <> 'array' or jsonb_array_length(tasks) > 1000 then
    raise exception 'tasks: expected an array of at most 1,000 tasks, got %', coalesce(jsonb_typeof(tasks), 'nothing') using errcode = '22023';
  end if;
  return query select s.stored from federation.store_tasks(tasks, who.tenant, who.agent) s(stored);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner federation_definer
grant execute on function public.assign_tasks(jsonb,text,text) to authenticated;
grant execute on function public.assign_tasks(jsonb,text,text) to service_role;
comment on function public.assign_tasks(jsonb,text,text) is 'Assigns all of these tasks or none, in their order.';

CREATE OR REPLACE FUNCTION public.cancel_task(task_id text, reason text DEFAULT NULL::text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('reason', cancel_task.reason, 65536, false);
  task := federation.lock_task(who.tenant, cancel_task.task_id);
  if who.agent <> task.assigned_by then
    raise exception 'task % was assigned by another agent', quote_literal(cancel_task.task_id) using errcode = '42501';
  end if;
  if task.ended_at is null then
    task := federation.end_task(task, 'cancelled', coalesce(cancel_task.reason, 'cancelled by ' || who.agent));
  elsif task.status <> 'cancelled' then
    raise exception 'task % has ended already: %', quote_literal(cancel_task.task_id), task.status using errcode = '55000';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$function$
-- owner federation_definer
grant execute on function public.cancel_task(text,text,text,text) to authenticated;
grant execute on function public.cancel_task(text,text,text,text) to service_role;
comment on function public.cancel_task(text,text,text,text) is 'Ends a task that is not wanted any more; by whoever assigned it.';

CREATE OR REPLACE FUNCTION public.claim_tasks(max_tasks integer DEFAULT 1, capabilities text[] DEFAULT '{}'::text[], instance_id text DEFAULT NULL::text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_tasks is null or max_tasks not between 1 and 1000 then
    raise exception 'max_tasks: expected 1 to 1000, got %', coalesce(max_tasks::text, 'nothing') using errcode = '22023';
  end if;
  perform federation.check_text('instance_id', instance_id, 255, false), federation.sweep(who.tenant);
  return query select federation.take_tasks(who.tenant, who.agent, max_tasks, capabilities, instance_id, null);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner federation_definer
grant execute on function public.claim_tasks(integer,text[],text,text,text) to authenticated;
grant execute on function public.claim_tasks(integer,text[],text,text,text) to service_role;
comment on function public.claim_tasks(integer,text[],text,text,text) is 'Claims tasks of the acting agent, of its capabilities or of nobody in particular, for 20 seconds.';

CREATE OR REPLACE FUNCTION public.cleanup_events(max_rows integer DEFAULT 10000, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_old_events(who.tenant, federation.check_rows(max_rows));
  else
    select coalesce(sum(public.cleanup_events(max_rows, null, t)), 0) into removed from federation.tenants_with_events() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$function$
-- owner federation_definer
grant execute on function public.cleanup_events(integer,text,text) to authenticated;
grant execute on function public.cleanup_events(integer,text,text) to service_role;
comment on function public.cleanup_events(integer,text,text) is 'Removes events whose time is over, at most max_rows of a tenant; answers how many.';

CREATE OR REPLACE FUNCTION public.cleanup_expired_memories(as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_expired_memories(who.tenant);
  else
    -- A service that names no tenant cleans up all of them, one after the other; nobody else gets here.
    select coalesce(sum(public.cleanup_expired_memories(null, t.tenant_id)), 0) into removed
    from (select distinct k.tenant_id from public.agent_memories k where k.expires_at <= now() and k.deleted_at is null) t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$function$
-- owner postgres
grant execute on function public.cleanup_expired_memories(text,text) to authenticated;
grant execute on function public.cleanup_expired_memories(text,text) to service_role;
comment on function public.cleanup_expired_memories(text,text) is 'Removes expired memories; answers how many.';

CREATE OR REPLACE FUNCTION public.cleanup_messages(max_rows integer DEFAULT 10000, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_old_messages(who.tenant, federation.check_rows(max_rows));
  else
    select coalesce(sum(public.cleanup_messages(max_rows, null, t)), 0) into removed from federation.tenants_with_messages() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$function$
-- owner postgres
grant execute on function public.cleanup_messages(integer,text,text) to authenticated;
grant execute on function public.cleanup_messages(integer,text,text) to service_role;
comment on function public.cleanup_messages(integer,text,text) is 'Removes messages whose time is over, at most max_rows of a tenant; answers how many.';

CREATE OR REPLACE FUNCTION public.cleanup_tombstones(as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  removed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_tombstones(who.tenant);
  else
    select coalesce(sum(public.cleanup_tombstones(null, t)), 0) into removed from federation.tenants_with_old_tombstones() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$function$
-- owner postgres
grant execute on function public.cleanup_tombstones(text,text) to authenticated;
grant execute on function public.cleanup_tombstones(text,text) to service_role;
comment on function public.cleanup_tombstones(text,text) is 'Removes tombstones older than keep_tombstones() says; answers how many.';

CREATE OR REPLACE FUNCTION public.close_session(session_id text, reason text DEFAULT 'shutdown'::text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_text('session_id', close_session.session_id, 255),
    federation.check_text('reason', close_session.reason, 255, false);
  update public.agent_sessions s set
    status = 'offline', ended_at = coalesce(s.ended_at, now()), end_reason = coalesce(s.end_reason, close_session.reason)
  where s.tenant_id = who.tenant and s.session_id = close_session.session_id and (s.agent_id = who.agent or who.agent is null)
  returning s.* into session;
  if not found then
    raise exception 'no session % of this agent', quote_literal(close_session.session_id) using errcode = 'P0002';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session);
end
$function$
-- owner federation_definer
grant execute on function public.close_session(text,text,text,text) to authenticated;
grant execute on function public.close_session(text,text,text,text) to service_role;
comment on function public.close_session(text,text,text,text) is 'Ends a session; ending it again changes nothing.';

CREATE OR REPLACE FUNCTION public.complete_task(task_id text, result jsonb, fence bigint DEFAULT NULL::bigint, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
  is_late boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_json('result', complete_task.result);
  task := federation.lock_task(who.tenant, complete_task.task_id);
  if federation.speaks_for(task, who.agent, complete_task.fence) then
    perform federation.finish_tasks(who.tenant, who.agent, jsonb_build_array(
      jsonb_build_object('task_id', task.task_id, 'fence', task.fence) || coalesce(jsonb_build_object('result', complete_task.result), '{}')));
    select * into task from public.agent_tasks t where t.tenant_id = who.tenant and t.row_id = task.row_id;
  elsif complete_task.fence < task.fence and who.agent = any (task.holders) then
    -- Too late: somebody else has, or had, the task by now. What was brought is kept beside it, the last ten.
    is_late := true;
    update public.agent_tasks t set superseded_results = jsonb_path_query_array(
      t.superseded_results || jsonb_build_object('agent', who.agent, 'fence', complete_task.fence, 'result', complete_task.result, 'at', now()),
      '$[last - 9 to last]')
    where t.row_id = task.row_id returning t.* into task;
  elsif task.ended_at is null then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(complete_task.task_id), task.status, task.fence
      using errcode = '55000';
  elsif task.status <> 'completed' then
    raise exception 'task % has ended already: %', quote_literal(complete_task.task_id), task.status using errcode = '55000';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task) || case when is_late then '{"superseded": true}' else '{}'::jsonb end;
end
$function$
-- owner federation_definer
grant execute on function public.complete_task(text,jsonb,bigint,text,text) to authenticated;
grant execute on function public.complete_task(text,jsonb,bigint,text,text) to service_role;
comment on function public.complete_task(text,jsonb,bigint,text,text) is 'Ends a task with its result and tells whoever assigned it; a result that comes too late is kept as superseded.';

CREATE OR REPLACE FUNCTION public.delete_agent(agent text, tenant text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  counts jsonb;
begin
  perform federation.check_text('agent', agent, 128);
  select * into who from federation.act_as(agent, coalesce(tenant, ''), 'agent');
  counts := federation.remove(who.tenant, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return counts;
end
$function$
-- owner federation_definer
grant execute on function public.delete_agent(text,text) to service_role;
comment on function public.delete_agent(text,text) is 'Removes every trace of an agent; for services.';

CREATE OR REPLACE FUNCTION public.delete_memories(filter jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  wanted record;
  deleted integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select * into wanted from federation.read_filter(filter);
  if num_nonnulls(wanted.agent, wanted.session, wanted.since, wanted.until, wanted.metadata) = 0 then
    raise exception 'filter: expected one of agent, session, since, until and metadata, got none' using errcode = '22023';
  elsif wanted.agent <> who.agent then
    raise exception 'agent % cannot delete memories of agent %', who.agent, wanted.agent using errcode = '42501';
  end if;
  with doomed as (
    select k.row_id from public.agent_memories k
    where k.tenant_id = who.tenant and k.deleted_at is null and (k.expires_at is null or k.expires_at > now())
      and (who.agent is null or k.agent_id = who.agent) and (wanted.agent is null or k.agent_id = wanted.agent)
      and (wanted.session is null or k.session_id = wanted.session) and (wanted.since is null or k.created_at >= wanted.since)
      and (wanted.until is null or k.created_at < wanted.until) and (wanted.metadata is null or k.metadata @> wanted.metadata)
    order by k.id for update)
  update public.agent_memories k set deleted_at = now() from doomed d where k.row_id = d.row_id;
  get diagnostics deleted = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return deleted;
end
$function$
-- owner postgres
grant execute on function public.delete_memories(jsonb,text,text) to authenticated;
grant execute on function public.delete_memories(jsonb,text,text) to service_role;
comment on function public.delete_memories(jsonb,text,text) is 'Leaves tombstones of one''s own memories that a filter admits; answers how many.';

CREATE OR REPLACE FUNCTION public.delete_memory(id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  owner text;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select k.agent_id into owner from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = delete_memory.id and k.deleted_at is null
    and federation.may_read(k, who.agent);
  if owner <> who.agent then
    raise exception 'memory % belongs to another agent', quote_literal(delete_memory.id) using errcode = '42501';
  end if;
  if owner is not null then
    update public.agent_memories k set deleted_at = now()
    where k.tenant_id = who.tenant and k.id = delete_memory.id and k.agent_id = owner and k.deleted_at is null;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return owner is not null;
end
$function$
-- owner postgres
grant execute on function public.delete_memory(text,text,text) to authenticated;
grant execute on function public.delete_memory(text,text,text) to service_role;
comment on function public.delete_memory(text,text,text) is 'Leaves a tombstone; false when there was nothing to delete.';

CREATE OR REPLACE FUNCTION public.delete_tenant(tenant text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  counts jsonb;
begin
  select * into who from federation.act_as(null, coalesce(tenant, ''), 'tenant');
  counts := federation.remove(who.tenant, null);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return counts;
end
$function$
-- owner federation_definer
grant execute on function public.delete_tenant(text) to service_role;
comment on function public.delete_tenant(text) is 'Removes every trace of a tenant; for services.';

CREATE OR REPLACE FUNCTION public.deliver_messages(ids text[], max_deliveries integer DEFAULT 5, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_deliveries is null or max_deliveries < 1 then
    raise exception 'max_deliveries: expected 1 or more, got %', coalesce(max_deliveries::text, 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  return query
    with named as (
      select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
        select a.row_id, a.to_agent from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
      where m.to_agent = who.agent
      order by m.row_id),
    wanted as (
      select m.row_id from named n, lateral (
        select a.row_id from public.agent_messages a
        where a.row_id = n.row_id and a.handled_at is null and a.dead_at is null and coalesce(a.expires_at > now(), true)
        for update) m)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  if exists (select from public.agent_message_failures f where f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null) then
    return query
      update public.agent_message_failures f set
        delivery_attempt = least(f.delivery_attempt + 1, max_deliveries),
        dead_at = case when f.delivery_attempt >= max_deliveries then now() end
      from (select distinct i.id from unnest(ids) i(id)) i, lateral (
        select a.row_id, a.id, a.expires_at from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
      where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null and coalesce(m.expires_at > now(), true)
      returning jsonb_build_object('id', m.id, 'delivery_attempt', f.delivery_attempt, 'dead', f.dead_at is not null);
  end if;
  return query
    select jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', true, 'expired', true)
    from (select distinct i.id from unnest(ids) i(id)) i, lateral (
      select a.* from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
    where m.handled_at is null and m.dead_at is null and m.expires_at <= now()
      and (m.to_agent = who.agent or exists (
        select from public.agent_message_failures f
        where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner federation_definer
grant execute on function public.deliver_messages(text[],integer,text,text) to authenticated;
grant execute on function public.deliver_messages(text[],integer,text,text) to service_role;
comment on function public.deliver_messages(text[],integer,text,text) is 'Counts a delivery of messages to the acting agent; those that had max_deliveries become dead letters.';

CREATE OR REPLACE FUNCTION public.end_older_sessions(session_id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  ended integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into session from public.agent_sessions s
  where s.tenant_id = who.tenant and s.session_id = end_older_sessions.session_id and s.agent_id = who.agent and s.ended_at is null;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(end_older_sessions.session_id) using errcode = 'P0002';
  end if;
  -- Of two that do this at once the newer one stays, whoever comes first.
  update public.agent_sessions s set status = 'offline', ended_at = now(), end_reason = 'replaced'
  where s.tenant_id = who.tenant and s.agent_id = who.agent and s.ended_at is null
    and (s.started_at, s.row_id) < (session.started_at, session.row_id);
  get diagnostics ended = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return ended;
end
$function$
-- owner federation_definer
grant execute on function public.end_older_sessions(text,text,text) to authenticated;
grant execute on function public.end_older_sessions(text,text,text) to service_role;
comment on function public.end_older_sessions(text,text,text) is 'Ends the acting agent''s sessions that are older than this one, as replaced; how many.';

CREATE OR REPLACE FUNCTION public.fail_broadcast(id text, error text, attempts integer DEFAULT 1, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if attempts is null or attempts < 1 then
    raise exception 'attempts: expected 1 or more, got %', coalesce(attempts::text, 'nothing') using errcode = '22023';
  end if;
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = fail_broadcast.id and m.to_agent is null and m.from_agent <> who.agent for update;
  if message.row_id is not null then
    insert into public.agent_message_failures as f (tenant_id, agent_id, message_row, delivery_attempt, last_error, dead_at)
    values (who.tenant, who.agent, message.row_id, attempts, left(coalesce(fail_broadcast.error, 'no reason given'), 2000), now())
    on conflict (message_row, agent_id) do update set
      delivery_attempt = excluded.delivery_attempt, last_error = excluded.last_error, dead_at = excluded.dead_at;
    perform federation.tell_broadcast(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return message.row_id is not null;
end
$function$
-- owner federation_definer
grant execute on function public.fail_broadcast(text,text,integer,text,text) to authenticated;
grant execute on function public.fail_broadcast(text,text,integer,text,text) to service_role;
comment on function public.fail_broadcast(text,text,integer,text,text) is 'The acting agent gives up a message to everybody, which is a dead letter of its own from now on; false when there is none.';

CREATE OR REPLACE FUNCTION public.fail_message(id text, error text, dead boolean DEFAULT false, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  reason text := left(coalesce(fail_message.error, 'no reason given'), 2000);
  changed boolean;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set
    last_error = reason,
    delivered_at = coalesce(m.delivered_at, now()),
    dead_at = case when fail_message.dead then now() end
  where m.tenant_id = who.tenant and m.id = fail_message.id and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null;
  changed := found;
  update public.agent_message_failures f set last_error = reason, dead_at = case when fail_message.dead then now() end
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = fail_message.id and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
  returning m.* into message;
  if fail_message.dead and message.row_id is not null then
    perform federation.tell_broadcast(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed or message.row_id is not null;
end
$function$
-- owner federation_definer
grant execute on function public.fail_message(text,text,boolean,text,text) to authenticated;
grant execute on function public.fail_message(text,text,boolean,text,text) to service_role;
comment on function public.fail_message(text,text,boolean,text,text) is 'Notes why a handler failed; with dead, the message is a dead letter and not delivered any more.';

CREATE OR REPLACE FUNCTION public.fail_task(task_id text, error text, fence bigint DEFAULT NULL::bigint, retry boolean DEFAULT true, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('error', fail_task.error, 65536);
  task := federation.lock_task(who.tenant, fail_task.task_id);
  if not federation.speaks_for(task, who.agent, fail_task.fence) then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(fail_task.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  if task.lease_until is null then
    -- Who works without claiming has tried all the same; otherwise it would be tried for ever.
    update public.agent_tasks t set attempt = t.attempt + 1 where t.row_id = task.row_id returning t.* into task;
  end if;
  if fail_task.retry then
    -- 1, 2, 4 … seconds, at most a minute, a quarter more or less.
    task := federation.give_back(task, fail_task.error,
      now() + least(60, power(2, greatest(task.attempt, 1) - 1)) * (0.75 + random() / 2) * interval '1 second');
  else
    task := federation.end_task(task, 'failed', fail_task.error);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$function$
-- owner federation_definer
grant execute on function public.fail_task(text,text,bigint,boolean,text,text) to authenticated;
grant execute on function public.fail_task(text,text,bigint,boolean,text,text) to service_role;
comment on function public.fail_task(text,text,bigint,boolean,text,text) is 'Gives a task back after a back-off, or ends it: dead without attempts left, failed where no retry is wanted.';

CREATE OR REPLACE FUNCTION public.federation_stats(as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  stats jsonb;
begin
  -- A service that names no tenant counts all of them; the policies keep everybody else to their own.
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  select jsonb_build_object(
    'total_memories', (
      select count(*) from public.agent_memories k
      where (who.tenant is null or k.tenant_id = who.tenant) and k.deleted_at is null and k.superseded_by is null
        and (k.expires_at is null or k.expires_at > now()) and federation.may_read(k, who.agent)),
    'active_sessions', (
      select count(*) from public.agent_sessions s
      where (who.tenant is null or s.tenant_id = who.tenant) and s.ended_at is null
        and s.last_seen_at > now() - make_interval(secs => s.timeout_seconds)),
    'total_messages', (
      select count(*) from public.agent_messages m
      where (who.tenant is null or m.tenant_id = who.tenant)
        and (who.agent is null or m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent)),
    'open_tasks', (
      select count(*) from public.agent_tasks t where (who.tenant is null or t.tenant_id = who.tenant) and t.ended_at is null))
  into stats;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return stats;
end
$function$
-- owner postgres
grant execute on function public.federation_stats(text,text) to authenticated;
grant execute on function public.federation_stats(text,text) to service_role;
comment on function public.federation_stats(text,text) is 'How many memories, live sessions, messages and open tasks the caller may read.';

CREATE OR REPLACE FUNCTION public.feed_place(cursor text DEFAULT NULL::text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(feed_place.cursor, ':');
  moment pg_snapshot := pg_current_snapshot();
  here text := federation.epoch();
  before federation.feed_places;
  place federation.feed_places;
  is_new boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if feed_place.cursor is null then
    insert into federation.feed_places (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, pg_snapshot_xmin(moment), 0, concat_ws(':', here, pg_snapshot_xmin(moment), 0, moment))
    on conflict (tenant_id, agent_id) do nothing;
    is_new := found;
  elsif feed_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> here
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    raise exception 'cursor: expected one that pull_messages() gave out here, got %', quote_literal(left(feed_place.cursor, 150))
      using errcode = '22023';
  else
    select * into before from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent for update;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    insert into federation.feed_places as p (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, given[2]::xid8, given[3]::bigint, feed_place.cursor)
    on conflict (tenant_id, agent_id) do update set
      epoch = excluded.epoch, tx = excluded.tx, seq = excluded.seq, cursor = excluded.cursor, moved_at = now(), starts = 0
    where p.epoch <> excluded.epoch or (excluded.tx, excluded.seq) > (p.tx, p.seq);
    if before.epoch = here then
      -- The last one to come by tells the sender.
      perform federation.tell_broadcast(m) from public.agent_messages m
      where m.tenant_id = who.tenant and m.to_agent is null and m.receipts and m.handled_at is null
        and (m.tx, m.seq) > (before.tx, before.seq) and (m.tx, m.seq) <= (given[2]::xid8, given[3]::bigint);
    end if;
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.cursor, 'moved_at', place.moved_at, 'new', is_new);
end
$function$
-- owner federation_definer
grant execute on function public.feed_place(text,text,text) to authenticated;
grant execute on function public.feed_place(text,text,text) to service_role;
comment on function public.feed_place(text,text,text) is 'Up to where the acting agent has handled what was said to everybody; with a cursor, moves that on.';

CREATE OR REPLACE FUNCTION public.find_memories(query jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF json
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'extensions', 'pg_temp'
AS $function$
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
    $function$
-- owner postgres
grant execute on function public.find_memories(jsonb,text,text) to authenticated;
grant execute on function public.find_memories(jsonb,text,text) to service_role;
comment on function public.find_memories(jsonb,text,text) is 'Memories by meaning, by words or by both, best first.';

CREATE OR REPLACE FUNCTION public.get_lock(name text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  lock public.agent_locks;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select l.* into lock from public.agent_locks l
  where l.tenant_id = who.tenant and l.name = get_lock.name and l.expires_at > clock_timestamp();
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return case when lock.row_id is not null then federation.lock_json(lock) end;
end
$function$
-- owner postgres
grant execute on function public.get_lock(text,text,text) to authenticated;
grant execute on function public.get_lock(text,text,text) to service_role;
comment on function public.get_lock(text,text,text) is 'Who holds a lock, or null.';

CREATE OR REPLACE FUNCTION public.get_memory(id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  memory jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select federation.memory_json(k) into memory from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = get_memory.id
    and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
    and federation.may_read(k, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return memory;
end
$function$
-- owner postgres
grant execute on function public.get_memory(text,text,text) to authenticated;
grant execute on function public.get_memory(text,text,text) to service_role;
comment on function public.get_memory(text,text,text) is 'A memory that the caller may read, or null.';

CREATE OR REPLACE FUNCTION public.get_message(id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  message public.agent_messages;
  failure public.agent_message_failures;
  facts jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = get_message.id
    and (m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent);
  if message.row_id is not null then
    select * into failure from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
    facts := federation.message_facts(message)
      || case when message.to_agent is null then federation.broadcast_receipt(message) else '{}' end
      || federation.failure_json(failure);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return facts;
end
$function$
-- owner postgres
grant execute on function public.get_message(text,text,text) to authenticated;
grant execute on function public.get_message(text,text,text) to service_role;
comment on function public.get_message(text,text,text) is 'A message that the acting agent sent or may read, with how far it got; null when there is none.';

CREATE OR REPLACE FUNCTION public.get_task(task_id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  found_task jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select federation.task_json(t) into found_task from public.agent_tasks t
  where t.tenant_id = who.tenant and t.task_id = get_task.task_id;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return found_task;
end
$function$
-- owner postgres
grant execute on function public.get_task(text,text,text) to authenticated;
grant execute on function public.get_task(text,text,text) to service_role;
comment on function public.get_task(text,text,text) is 'A task, or null.';

CREATE OR REPLACE FUNCTION public.heartbeat(session_id text, status text DEFAULT NULL::text, task text DEFAULT NULL::text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  positions jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', heartbeat.session_id, 255),
    federation.check_text('status', coalesce(heartbeat.status, 'unchanged'), 64),
    federation.check_text('task', heartbeat.task, 65536, false);
  update public.agent_sessions s set
    last_seen_at = now(),
    status = coalesce(heartbeat.status, s.status),
    task = case when heartbeat.status is null then coalesce(heartbeat.task, s.task) else heartbeat.task end
  where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent and s.ended_at is null
  returning s.* into session;
  if not found then
    select * into session from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent;
  end if;
  perform federation.sweep(who.tenant);
  select jsonb_build_object(
    'inbox', coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent = who.agent), 0),
    'feed', greatest(
      coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent is null), 0),
      coalesce((select max(k.seq) from public.agent_memories k where k.tenant_id = who.tenant and k.scope = 'tenant'), 0)),
    'queue', greatest(
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to = who.agent), 0),
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to is null), 0)),
    'roster', coalesce((select max(s.seq) from public.agent_sessions s where s.tenant_id = who.tenant), 0))
  into positions;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object(
    'server_time', clock_timestamp(), 'alive', session.row_id is not null and session.ended_at is null,
    'end_reason', session.end_reason, 'positions', positions);
end
$function$
-- owner federation_definer
grant execute on function public.heartbeat(text,text,text,text,text) to authenticated;
grant execute on function public.heartbeat(text,text,text,text,text) to service_role;
comment on function public.heartbeat(text,text,text,text,text) is 'Keeps a session alive; answers the newest positions of inbox, feed, queue and roster, and sweeps the tenant.';

CREATE OR REPLACE FUNCTION public.keep_events(days integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set events_kept = make_interval(days => keep_events.days);
end
$function$
-- owner federation_definer
grant execute on function public.keep_events(integer) to service_role;
comment on function public.keep_events(integer) is 'How long events stay.';

CREATE OR REPLACE FUNCTION public.keep_messages(days integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set messages_kept = make_interval(days => keep_messages.days);
end
$function$
-- owner federation_definer
grant execute on function public.keep_messages(integer) to service_role;
comment on function public.keep_messages(integer) is 'How long messages stay once they were handled, given up, or said to everybody.';

CREATE OR REPLACE FUNCTION public.keep_tombstones(days integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set tombstones_kept = make_interval(days => keep_tombstones.days);
end
$function$
-- owner federation_definer
grant execute on function public.keep_tombstones(integer) to service_role;
comment on function public.keep_tombstones(integer) is 'How long tombstones stay. A replica that was away for longer compares everything.';

CREATE OR REPLACE FUNCTION public.keep_waiting_messages(days integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, or null for ever, got %', days using errcode = '22023';
  end if;
  update federation.sync_settings set waiting_kept = make_interval(days => keep_waiting_messages.days);
end
$function$
-- owner federation_definer
grant execute on function public.keep_waiting_messages(integer) to service_role;
comment on function public.keep_waiting_messages(integer) is 'After how many days a message that its agent has not handled becomes a dead letter; null: never.';

CREATE OR REPLACE FUNCTION public.limit_hops(hops integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if hops is null or hops not between 1 and 1000000 then
    raise exception 'hops: expected 1 to 1000000, got %', coalesce(hops::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set max_hops = hops;
end
$function$
-- owner federation_definer
grant execute on function public.limit_hops(integer) to service_role;
comment on function public.limit_hops(integer) is 'How many messages may lead to a message, each in answer to the last or sent by its handler.';

CREATE OR REPLACE FUNCTION public.limit_messages(per_minute integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if per_minute is null or per_minute not between 1 and 100000000 then
    raise exception 'per_minute: expected 1 to 100000000, got %', coalesce(per_minute::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set messages_per_minute = per_minute;
end
$function$
-- owner federation_definer
grant execute on function public.limit_messages(integer) to service_role;
comment on function public.limit_messages(integer) is 'How many messages an agent may store in a minute, by all its processes together.';

CREATE OR REPLACE FUNCTION public.list_events(after_seq bigint DEFAULT 0, max_rows integer DEFAULT 100, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select to_jsonb(e) - '{row_id,tx,private}'::text[] from public.agent_events e
    where e.tenant_id = who.tenant and e.seq > coalesce(after_seq, 0)
      and (not e.private or who.agent is null or e.agent_id = who.agent)
    order by e.seq
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.list_events(bigint,integer,text,text) to authenticated;
grant execute on function public.list_events(bigint,integer,text,text) to service_role;
comment on function public.list_events(bigint,integer,text,text) is 'What happened in the tenant, oldest first.';

CREATE OR REPLACE FUNCTION public.list_messages(filter jsonb DEFAULT '{}'::jsonb, max_rows integer DEFAULT 100, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  box text := coalesce(filter ->> 'box', 'all');
  state text := filter ->> 'state';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if box not in ('inbox', 'sent', 'all') then
    raise exception 'box: expected inbox, sent or all, got %', quote_literal(left(box, 150)) using errcode = '22023';
  end if;
  if state not in ('waiting', 'delivered', 'handled', 'dead') then
    raise exception 'state: expected waiting, delivered, handled or dead, got %', quote_literal(left(state, 150)) using errcode = '22023';
  end if;
  return query
    select federation.message_facts(m) || federation.failure_json(f)
    from public.agent_messages m
    left join public.agent_message_failures f on m.to_agent is null and f.message_row = m.row_id and f.agent_id = who.agent
    where m.tenant_id = who.tenant
      and case box
        when 'inbox' then m.to_agent = who.agent or f.row_id is not null
        when 'sent' then m.from_agent = who.agent
        else m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent end
      and case state
        when 'waiting' then m.to_agent is not null and m.delivered_at is null and m.dead_at is null
        when 'delivered' then case when f.row_id is null
          then m.delivered_at is not null and m.handled_at is null and m.dead_at is null else f.dead_at is null end
        when 'handled' then m.handled_at is not null
        when 'dead' then m.dead_at is not null or f.dead_at is not null
        else true end
      and (filter ->> 'type' is null or m.type = filter ->> 'type')
      and (filter ->> 'peer' is null or filter ->> 'peer' in (m.from_agent, m.to_agent))
      and (filter ->> 'reply_to' is null or m.reply_to = filter ->> 'reply_to')
      and (filter ->> 'before_seq' is null or m.seq < (filter ->> 'before_seq')::bigint)
    order by m.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.list_messages(jsonb,integer,text,text) to authenticated;
grant execute on function public.list_messages(jsonb,integer,text,text) to service_role;
comment on function public.list_messages(jsonb,integer,text,text) is 'Messages that the acting agent sent or may read, newest first; page with before_seq.';

CREATE OR REPLACE FUNCTION public.list_sessions(as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.session_json(s) from public.agent_sessions s
    where s.tenant_id = who.tenant and s.ended_at is null and s.last_seen_at > now() - make_interval(secs => s.timeout_seconds)
    order by s.started_at desc, s.seq desc;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.list_sessions(text,text) to authenticated;
grant execute on function public.list_sessions(text,text) to service_role;
comment on function public.list_sessions(text,text) is 'Sessions that are alive, newest first.';

CREATE OR REPLACE FUNCTION public.list_tasks(statuses text[] DEFAULT NULL::text[], agent text DEFAULT NULL::text, after_seq bigint DEFAULT 0, max_rows integer DEFAULT 100, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.task_json(t) from public.agent_tasks t
    where t.tenant_id = who.tenant and t.seq > coalesce(list_tasks.after_seq, 0)
      and (list_tasks.statuses is null or t.status = any (list_tasks.statuses))
      and (list_tasks.agent is null or list_tasks.agent in (t.assigned_by, t.assigned_to, t.lease_agent))
    order by t.seq
    limit federation.check_rows(list_tasks.max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.list_tasks(text[],text,bigint,integer,text,text) to authenticated;
grant execute on function public.list_tasks(text[],text,bigint,integer,text,text) to service_role;
comment on function public.list_tasks(text[],text,bigint,integer,text,text) is 'Tasks by status and agent, in the order of their last change; `after_seq` is for the next page.';

CREATE OR REPLACE FUNCTION public.mark_messages(ids text[], state text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
  who record;
  changed integer;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if state is null or state not in ('delivered', 'handled') then
    raise exception 'state: expected delivered or handled, got %', coalesce(quote_literal(state), 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  -- In the order of the rows, so that two who mark the same messages wait for each other instead of deadlocking.
  with named as (
    select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
      select a.row_id, a.to_agent from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
    where m.to_agent = who.agent
    order by m.row_id),
  wanted as (
    select m.row_id from named n, lateral (
      select a.row_id from public.agent_messages a
      where a.row_id = n.row_id and case state when 'delivered' then a.delivered_at is null else a.handled_at is null end
      for update) m)
  update public.agent_messages m set
    delivered_at = coalesce(m.delivered_at, now()),
    handled_at = case state when 'handled' then now() else m.handled_at end
  from wanted w where m.row_id = w.row_id;
  get diagnostics changed = row_count;
  if state = 'handled' and exists (
    select from public.agent_message_failures f where f.tenant_id = who.tenant and f.agent_id = who.agent)
  then
    for message in
      with named as (
        select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
          select a.row_id from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
        where exists (select from public.agent_message_failures f where f.message_row = m.row_id and f.agent_id = who.agent)
        order by m.row_id)
      select m.* from named n, lateral (select a.* from public.agent_messages a where a.row_id = n.row_id for update) m
    loop
      delete from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
      continue when not found; -- another process of the agent was faster
      perform federation.tell_broadcast(message);
      changed := changed + 1;
    end loop;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed;
end
$function$
-- owner federation_definer
grant execute on function public.mark_messages(text[],text,text,text) to authenticated;
grant execute on function public.mark_messages(text[],text,text,text) to service_role;
comment on function public.mark_messages(text[],text,text,text) is 'Marks messages to the acting agent as delivered or handled; answers how many changed.';

CREATE OR REPLACE FUNCTION public.memory_index_statement(dimensions integer)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  home text := (select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
begin
  if dimensions is null or dimensions not between 1 and 4000 then
    raise exception 'dimensions: expected 1 to 4000, got %', coalesce(dimensions::text, 'nothing') using errcode = '22023',
      hint = 'Above 4000 dimensions pgvector has no HNSW index; searches stay exact.';
  end if;
  return format(
    'create index if not exists agent_memories_hnsw_%1$s on public.agent_memories using hnsw '
    '((embedding::%2$s.%3$s(%1$s)) %2$s.%3$s_cosine_ops) where %2$s.vector_dims(embedding) = %1$s',
    dimensions, home, kind);
end
$function$
-- owner postgres
grant execute on function public.memory_index_statement(integer) to authenticated;
grant execute on function public.memory_index_statement(integer) to service_role;
comment on function public.memory_index_statement(integer) is 'The statement that makes an HNSW index for one dimension; it makes none itself.';

CREATE OR REPLACE FUNCTION public.memory_place(cursor text DEFAULT NULL::text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(memory_place.cursor, ':');
  here text := federation.epoch();
  place federation.feed_places;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if memory_place.cursor is not null then
    if memory_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}$' or given[1] <> here
      or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
      raise exception 'cursor: expected one that pull_memories() gave out here, got %', quote_literal(left(memory_place.cursor, 150))
        using errcode = '22023';
    end if;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    update federation.feed_places p set memory_cursor = memory_place.cursor, memory_at = now()
    where p.tenant_id = who.tenant and p.agent_id = who.agent and (
      p.memory_cursor is null or split_part(p.memory_cursor, ':', 1) <> here
      or (given[2]::xid8, given[3]::bigint) > (split_part(p.memory_cursor, ':', 2)::xid8, split_part(p.memory_cursor, ':', 3)::bigint));
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.memory_cursor, 'kept_at', place.memory_at);
end
$function$
-- owner federation_definer
grant execute on function public.memory_place(text,text,text) to authenticated;
grant execute on function public.memory_place(text,text,text) to service_role;
comment on function public.memory_place(text,text,text) is 'Up to where the acting agent was told which memories changed.';

CREATE OR REPLACE FUNCTION public.new_epoch()
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  update federation.sync_settings set epoch = gen_random_uuid();
  return federation.epoch();
end
$function$
-- owner federation_definer
grant execute on function public.new_epoch() to service_role;
comment on function public.new_epoch() is 'After a restore in place: every cursor given out before means nothing any more.';

CREATE OR REPLACE FUNCTION public.next_tasks(claim_id uuid, max_tasks integer DEFAULT 1, capabilities text[] DEFAULT '{}'::text[], instance_id text DEFAULT NULL::text, ended jsonb DEFAULT '[]'::jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
declare
  who record;
  refused jsonb := '[]';
  tasks jsonb[] := '{}';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if claim_id is null then
    raise exception 'claim_id: expected a UUID, got nothing' using errcode = '22023';
  end if;
  if max_tasks is null or max_tasks not between 0 and 1000 then
    raise exception 'max_tasks: expected 0 to 1000, got %', coalesce(max_tasks::text, 'nothing') using errcode = '22023';
  end if;
  if ended is null or jsonb_typeof(ended) <> 'array' or jsonb_array_length(ended) > 1000
    or jsonb_path_exists(ended, '$[*] ? (@.type() != "object" || !exists(@.task_id))') then
    raise exception 'ended: expected an array of at most 1,000 { task_id, fence, result or error }, got %', coalesce(jsonb_typeof(ended), 'nothing')
      using errcode = '22023';
  end if;
  perform federation.check_text('instance_id', instance_id, 255, false);
  -- The first call may still be at it.
  perform pg_advisory_xact_lock(hashtextextended('federation.next_tasks ' || who.tenant || ' ' || claim_id, 0));
  if jsonb_array_length(ended) > 0 then
    refused := federation.end_tasks(who.tenant, who.agent, ended);
  end if;
  perform federation.sweep(who.tenant);
  if max_tasks > 0 then
    tasks := array(select federation.held_by_claim(who.tenant, who.agent, claim_id));
    if cardinality(tasks) = 0 then
      tasks := array(select federation.take_tasks(who.tenant, who.agent, max_tasks, capabilities, instance_id, claim_id));
    end if;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('tasks', to_jsonb(tasks), 'refused', refused);
end
$function$
-- owner federation_definer
grant execute on function public.next_tasks(uuid,integer,text[],text,jsonb,text,text) to authenticated;
grant execute on function public.next_tasks(uuid,integer,text[],text,jsonb,text,text) to service_role;
comment on function public.next_tasks(uuid,integer,text[],text,jsonb,text,text) is 'Ends tasks that the acting agent holds and claims others; the same claim id again is answered with the same tasks.';

CREATE OR REPLACE FUNCTION public.open_session(session_id text, instance_id text DEFAULT NULL::text, status text DEFAULT 'online'::text, task text DEFAULT NULL::text, capabilities text[] DEFAULT '{}'::text[], metadata jsonb DEFAULT '{}'::jsonb, timeout_seconds integer DEFAULT 90, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', open_session.session_id, 255),
    federation.check_text('instance_id', open_session.instance_id, 255, false),
    federation.check_text('status', open_session.status, 64),
    federation.check_text('task', open_session.task, 65536, false),
    federation.check_text('capabilities', array_to_string(open_session.capabilities, ','), 65536, false),
    federation.check_json('metadata', open_session.metadata, 65536);
  if jsonb_typeof(open_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(open_session.metadata) using errcode = '22023';
  end if;
  if open_session.timeout_seconds not between 1 and 86400 then
    raise exception 'timeout_seconds: expected 1 to 86400, got %', open_session.timeout_seconds using errcode = '22023';
  end if;
  if exists (
    select from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = open_session.session_id and s.agent_id = who.agent and s.end_reason = 'replaced') then
    raise exception 'session % was replaced by another process of agent %', quote_literal(open_session.session_id), who.agent
      using errcode = '55000', hint = 'It runs exclusively; end that process, or open a new session.';
  end if;
  insert into public.agent_sessions as s (
    tenant_id, session_id, agent_id, instance_id, status, task, capabilities, metadata, timeout_seconds)
  values (
    who.tenant, open_session.session_id, who.agent, open_session.instance_id, open_session.status, open_session.task,
    coalesce(open_session.capabilities, '{}'), coalesce(open_session.metadata, '{}'), coalesce(open_session.timeout_seconds, 90))
  on conflict (tenant_id, session_id) do update set
    instance_id = excluded.instance_id, status = excluded.status, task = excluded.task, capabilities = excluded.capabilities,
    metadata = excluded.metadata, timeout_seconds = excluded.timeout_seconds, last_seen_at = now(),
    started_at = case when s.ended_at is null then s.started_at else now() end, ended_at = null, end_reason = null
  where s.agent_id = excluded.agent_id
  returning s.* into session;
  if session.row_id is null then
    raise exception 'session % belongs to another agent', quote_literal(open_session.session_id) using errcode = '42501';
  end if;
  perform federation.sweep(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', federation.tell_sessions(who.tenant));
end
$function$
-- owner federation_definer
grant execute on function public.open_session(text,text,text,text,text[],jsonb,integer,text,text) to authenticated;
grant execute on function public.open_session(text,text,text,text,text[],jsonb,integer,text,text) to service_role;
comment on function public.open_session(text,text,text,text,text[],jsonb,integer,text,text) is 'Opens a session of the acting agent, or reopens it; one that was replaced stays ended.';

CREATE OR REPLACE FUNCTION public.pull_changes(writer text, cursor text DEFAULT NULL::text, max_rows integer DEFAULT 500, max_bytes integer DEFAULT 1000000, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS json
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ begin return federation.pull_page(writer, cursor, max_rows, max_bytes, as_agent, as_tenant); end $function$
-- owner postgres
grant execute on function public.pull_changes(text,text,integer,integer,text,text) to authenticated;
grant execute on function public.pull_changes(text,text,integer,integer,text,text) to service_role;
comment on function public.pull_changes(text,text,integer,integer,text,text) is 'As pull_memories(), without the content of what `writer` wrote last.';

CREATE OR REPLACE FUNCTION public.pull_inbox(max_messages integer DEFAULT 100, after_seq bigint DEFAULT 0, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  most integer := federation.check_rows(max_messages);
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  return query
    select w.message from (
      (select m.seq, federation.message_json(m) as message from public.agent_messages m
       where m.tenant_id = who.tenant and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
         and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
       order by m.seq limit most)
      union all
      (select m.seq, federation.message_json(m) || jsonb_build_object('delivery_attempt', f.delivery_attempt)
       from public.agent_message_failures f join public.agent_messages m on m.row_id = f.message_row
       where f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
         and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
       order by m.seq limit most)) w
    order by w.seq
    limit most;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.pull_inbox(integer,bigint,text,text) to authenticated;
grant execute on function public.pull_inbox(integer,bigint,text,text) to service_role;
comment on function public.pull_inbox(integer,bigint,text,text) is 'The acting agent''s messages that are not handled, oldest first.';

CREATE OR REPLACE FUNCTION public.pull_memories(cursor text DEFAULT NULL::text, max_rows integer DEFAULT 500, max_bytes integer DEFAULT 1000000, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS json
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ begin return federation.pull_page(null, cursor, max_rows, max_bytes, as_agent, as_tenant); end $function$
-- owner postgres
grant execute on function public.pull_memories(text,integer,integer,text,text) to authenticated;
grant execute on function public.pull_memories(text,integer,integer,text,text) to service_role;
comment on function public.pull_memories(text,integer,integer,text,text) is 'What changed in the tenant''s memories since a cursor, in the order of change, and the next cursor.';

CREATE OR REPLACE FUNCTION public.pull_messages(cursor text DEFAULT NULL::text, box text DEFAULT 'feed'::text, max_rows integer DEFAULT 500, max_bytes integer DEFAULT 1000000, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS json
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  moment pg_snapshot := pg_current_snapshot();
  -- Every transaction below has ended, so what it wrote is seen or never will be.
  horizon xid8 := pg_snapshot_xmin(moment);
  after_tx xid8;
  after_seq bigint := 0;
  since pg_snapshot;
  is_more boolean := false;
  is_held_back boolean := false;
  page record;
  answer json;
begin
  if box is null or box not in ('feed', 'inbox') then
    raise exception 'box: expected feed or inbox, got %', coalesce(quote_literal(left(box, 150)), 'nothing') using errcode = '22023';
  end if;
  select * into who from federation.act_as(as_agent, as_tenant, case box when 'inbox' then 'agent' else 'tenant' end);
  max_rows := greatest(1, federation.check_rows(max_rows));
  if cursor is null then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat_ws(':', epoch, horizon, 0, moment), 'done', true, 'held_back', false,
      'reset', false, 'server_time', clock_timestamp());
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0'), 'done', false, 'held_back', false,
      'reset', true, 'server_time', clock_timestamp());
  else
    after_tx := given[2];
    after_seq := given[3];
    since := nullif(array_to_string(given[4:], ':'), '');
    with rows as (
      select c.tx, c.seq, c.message, row_number() over earlier as place, sum(octet_length(c.message)) over earlier as bytes
      from (
        (select m.tx, m.seq, federation.message_json(m)::text as message from public.agent_messages m
         where box = 'feed' and m.tenant_id = who.tenant and m.to_agent is null and (m.tx, m.seq) > (after_tx, after_seq) and m.tx < horizon
           and (since is null or not pg_visible_in_snapshot(m.tx, since)) and (m.expires_at is null or m.expires_at > now())
         order by m.tx, m.seq limit max_rows + 1)
        union all
        (select m.tx, m.seq, federation.message_json(m)::text from public.agent_messages m
         where box = 'inbox' and m.tenant_id = who.tenant and m.to_agent = who.agent and (m.tx, m.seq) > (after_tx, after_seq)
           and m.tx < horizon and m.dead_at is null
           and (since is null or not pg_visible_in_snapshot(m.tx, since)) and (m.expires_at is null or m.expires_at > now())
         order by m.tx, m.seq limit max_rows + 1)) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select r.*, r.place <= max_rows and (r.place = 1 or r.bytes <= max_bytes) as is_in from rows r)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then p.message end, ',' order by p.place) as messages
    into page from page p;
    is_more := coalesce(page.is_cut, false);
    is_held_back := not is_more and (
      exists (
        select from public.agent_messages m
        where box = 'feed' and m.tenant_id = who.tenant and m.to_agent is null and (m.tx, m.seq) > (horizon, 0::bigint)
          and (since is null or not pg_visible_in_snapshot(m.tx, since)))
      or exists (
        select from public.agent_messages m
        where box = 'inbox' and m.tenant_id = who.tenant and m.to_agent = who.agent and (m.tx, m.seq) > (horizon, 0::bigint)
          and (since is null or not pg_visible_in_snapshot(m.tx, since))));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    if after_tx >= pg_snapshot_xmax(since) then
      since := null; -- nothing behind was visible then
    end if;
    answer := concat(
      '{"rows": [', page.messages, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, since)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ',
      to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$function$
-- owner postgres
grant execute on function public.pull_messages(text,text,integer,integer,text,text) to authenticated;
grant execute on function public.pull_messages(text,text,integer,integer,text,text) to service_role;
comment on function public.pull_messages(text,text,integer,integer,text,text) is 'Messages to everybody, or to the acting agent, since a cursor, in the order of their transactions, and the next cursor.';

CREATE OR REPLACE FUNCTION public.push_memories(memories jsonb, brief boolean DEFAULT false, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF json
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'extensions', 'pg_temp'
AS $function$
declare
  who record;
  pushed public.agent_memories[];
  refusals json[] := '{}';
  -- Ids whose clock is ahead of the bound: they win, and get the server's.
  ahead text[];
  older text[];
  latest bigint := federation.latest_clock_ms();
  taken integer;
  one record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if memories is null or jsonb_typeof(memories) <> 'array' then
    raise exception 'memories: expected an array of objects, got %', coalesce(jsonb_typeof(memories), 'nothing') using errcode = '22023';
  end if;
  begin
    pushed := array(
      select federation.pushed_memory(m.value, m.ordinality, who.tenant, who.agent)
      from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  exception when data_exception or insufficient_privilege or program_limit_exceeded then
    -- One of them is wrong: look at each.
    pushed := '{}';
    for one in select m.value, m.ordinality::integer as place from jsonb_array_elements(memories) with ordinality m order by m.ordinality loop
      begin
        pushed[one.place] := federation.pushed_memory(one.value, one.place, who.tenant, who.agent);
      exception when data_exception or insufficient_privilege or program_limit_exceeded then
        pushed[one.place] := null;
        refusals[one.place] := json_build_object('outcome', 'refused', 'reason', sqlerrm, 'code', sqlstate);
      end;
    end loop;
  end;
  foreach taken in array coalesce(federation.taken_places(who.tenant,
    array(select p.id from unnest(pushed) with ordinality p order by p.ordinality),
    array(select p.agent_id from unnest(pushed) with ordinality p order by p.ordinality)), '{}') loop
    refusals[taken] := json_build_object('outcome', 'refused', 'code', '42501',
      'reason', format('memory %L belongs to another agent', pushed[taken].id));
  end loop;
  ahead := array(select p.id from unnest(pushed) p where p.hlc_ms > latest);
  older := array(select p.supersedes from unnest(pushed) p where p.supersedes is not null);

  perform federation.lock_writers(who.tenant, array(select p.agent_id from unnest(pushed) p), cardinality(older) > 0);
  insert into public.agent_memories as k (
    tenant_id, id, agent_id, session_id, content, embedding, embedding_model, metadata, source, scope, supersedes, superseded_by,
    written_by, created_at, expires_at, deleted_at, hlc_ms, hlc_counter, hlc_writer)
  select who.tenant, w.id, w.agent_id, w.session_id, w.content, w.embedding, w.embedding_model, w.metadata, w.source, w.scope, w.supersedes,
    -- What supersedes it may have been faster.
    (select s.id from public.agent_memories s
     where s.tenant_id = who.tenant and s.supersedes = w.id and s.agent_id = w.agent_id and s.id <> w.id and s.deleted_at is null limit 1),
    coalesce(who.agent, w.agent_id), w.created_at, w.expires_at, w.deleted_at, w.hlc_ms, w.hlc_counter, w.hlc_writer
  from (
    select distinct on (p.id) p.* from unnest(pushed) with ordinality p
    where p.id is not null and refusals[p.ordinality] is null
    order by p.id, p.hlc_ms desc, p.hlc_counter desc, p.hlc_writer collate "C" desc, p.ordinality desc) w
  order by w.id
  on conflict (tenant_id, id) do update set
    session_id = excluded.session_id, content = excluded.content, embedding = excluded.embedding,
    embedding_model = excluded.embedding_model, metadata = excluded.metadata, source = excluded.source, scope = excluded.scope,
    supersedes = excluded.supersedes, created_at = excluded.created_at, expires_at = excluded.expires_at,
    deleted_at = excluded.deleted_at, superseded_by = case when k.deleted_at is null then k.superseded_by else excluded.superseded_by end,
    hlc_ms = case when k.id = any (ahead) then k.hlc_ms else excluded.hlc_ms end,
    hlc_counter = case when k.id = any (ahead) then k.hlc_counter else excluded.hlc_counter end,
    hlc_writer = case when k.id = any (ahead) then k.hlc_writer else excluded.hlc_writer end
  where k.agent_id = excluded.agent_id and case
    when k.id = any (ahead) then
      (k.session_id, k.content, k.embedding, k.embedding_model, k.metadata, k.source, k.scope, k.supersedes, k.expires_at,
       k.deleted_at is null) is distinct from
      (excluded.session_id, excluded.content, excluded.embedding, excluded.embedding_model, excluded.metadata, excluded.source,
       excluded.scope, excluded.supersedes, excluded.expires_at, excluded.deleted_at is null)
    else federation.is_later(excluded.hlc_ms, excluded.hlc_counter, excluded.hlc_writer, k.hlc_ms, k.hlc_counter, k.hlc_writer) end;
  if cardinality(older) > 0 then
    update public.agent_memories k set superseded_by = s.id
    from public.agent_memories s
    where s.tenant_id = who.tenant and s.id = any (array(select p.id from unnest(pushed) p)) and s.deleted_at is null
      and k.tenant_id = who.tenant and k.id = any (older) and k.id = s.supersedes and k.agent_id = s.agent_id and k.id <> s.id
      and (who.agent is null or k.agent_id = who.agent) and k.deleted_at is null and k.superseded_by is distinct from s.id;
  end if;

  return query
    select coalesce(refusals[p.ordinality], case
      when (k.memory).agent_id is distinct from p.agent_id then json_build_object('outcome', 'refused', 'code', '42501',
        'reason', format('memory %L belongs to another agent', p.id))
      when federation.is_later((k.memory).hlc_ms, (k.memory).hlc_counter, (k.memory).hlc_writer, p.hlc_ms, p.hlc_counter, p.hlc_writer) then
        concat('{"outcome": "older", "memory": ', federation.replica_text(k.memory), '}')::json
      else
        concat('{"outcome": "applied", "clock_moved": ',
          federation.is_later(p.hlc_ms, p.hlc_counter, p.hlc_writer, (k.memory).hlc_ms, (k.memory).hlc_counter, (k.memory).hlc_writer)::text,
          ', "memory": ', federation.replica_text(k.memory, brief), '}')::json
      end)
    from unnest(pushed) with ordinality p
    left join lateral (
      select m as memory from public.agent_memories m where m.tenant_id = who.tenant and m.id = p.id offset 0) k on true
    order by p.ordinality;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.push_memories(jsonb,boolean,text,text) to authenticated;
grant execute on function public.push_memories(jsonb,boolean,text,text) to service_role;
comment on function public.push_memories(jsonb,boolean,text,text) is 'Writes of a replica, with their clocks: each is applied, older than what is there, or refused.';

CREATE OR REPLACE FUNCTION public.query_memories(agent text DEFAULT NULL::text, max_rows integer DEFAULT 100, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_agent('agent', query_memories.agent);
  return query
    select federation.memory_json(k) from public.agent_memories k
    where k.tenant_id = who.tenant and (query_memories.agent is null or k.agent_id = query_memories.agent)
      and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
      and federation.may_read(k, who.agent)
    order by k.created_at desc, k.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.query_memories(text,integer,text,text) to authenticated;
grant execute on function public.query_memories(text,integer,text,text) to service_role;
comment on function public.query_memories(text,integer,text,text) is 'Memories that the caller may read, newest first.';

CREATE OR REPLACE FUNCTION public.read_memories(ids text[], as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF json
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.replica_text(k)::json from public.agent_memories k
    where k.tenant_id = who.tenant and k.id = any (ids)
      and federation.may_read(k, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.read_memories(text[],text,text) to authenticated;
grant execute on function public.read_memories(text[],text,text) to service_role;
comment on function public.read_memories(text[],text,text) is 'Memories by id as replicas get them, tombstones too.';

CREATE OR REPLACE FUNCTION public.release_lock(name text, fence bigint, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  is_held boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  delete from public.agent_locks l
  where l.tenant_id = who.tenant and l.name = release_lock.name and l.fence = release_lock.fence and l.holder = who.agent;
  is_held := found;
  if is_held then
    perform federation.announce('federation:' || who.tenant || ':feed', 'lock', jsonb_build_object(
      'name', release_lock.name, 'state', 'freed', 'holder', who.agent, 'fence', release_lock.fence));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_held;
end
$function$
-- owner federation_definer
grant execute on function public.release_lock(text,bigint,text,text) to authenticated;
grant execute on function public.release_lock(text,bigint,text,text) to service_role;
comment on function public.release_lock(text,bigint,text,text) is 'Lets a lock go and tells everybody; false when it was not held any more.';

CREATE OR REPLACE FUNCTION public.release_task(task_id text, fence bigint, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  task := federation.lock_task(who.tenant, release_task.task_id);
  if not federation.speaks_for(task, who.agent, release_task.fence) or task.lease_until is null then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(release_task.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  -- Nobody failed, so this attempt does not count.
  update public.agent_tasks t set attempt = t.attempt - 1 where t.row_id = task.row_id returning t.* into task;
  task := federation.give_back(task, task.error, now());
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$function$
-- owner federation_definer
grant execute on function public.release_task(text,bigint,text,text) to authenticated;
grant execute on function public.release_task(text,bigint,text,text) to service_role;
comment on function public.release_task(text,bigint,text,text) is 'Gives a held task back unfinished: another worker may claim it at once.';

CREATE OR REPLACE FUNCTION public.renew_lock(name text, fence bigint, ttl_ms integer DEFAULT 30000, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  is_held boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if renew_lock.ttl_ms is null or renew_lock.ttl_ms not between 100 and 86400000 then
    raise exception 'ttl_ms: expected 100 to 86400000, got %', coalesce(renew_lock.ttl_ms::text, 'nothing') using errcode = '22023';
  end if;
  -- Also one that has run out, as long as nobody took it.
  update public.agent_locks l set expires_at = clock_timestamp() + renew_lock.ttl_ms * interval '1 millisecond'
  where l.tenant_id = who.tenant and l.name = renew_lock.name and l.fence = renew_lock.fence and l.holder = who.agent;
  is_held := found;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_held;
end
$function$
-- owner federation_definer
grant execute on function public.renew_lock(text,bigint,integer,text,text) to authenticated;
grant execute on function public.renew_lock(text,bigint,integer,text,text) to service_role;
comment on function public.renew_lock(text,bigint,integer,text,text) is 'Holds a lock for so long from now; false when somebody else has taken it.';

CREATE OR REPLACE FUNCTION public.renew_tasks(leases jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS text[]
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  held text[];
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if leases is null or jsonb_typeof(leases) <> 'array' then
    raise exception 'leases: expected an array of { task_id, fence }, got %', coalesce(jsonb_typeof(leases), 'nothing') using errcode = '22023';
  end if;
  with mine as (
    select t.row_id
    from federation.tasks_named(who.tenant, leases) l join public.agent_tasks t on t.row_id = l.row_id
    where t.fence = (l.said ->> 'fence')::bigint and t.lease_agent = who.agent and t.lease_until is not null and t.ended_at is null
    order by t.row_id for update of t),
  renewed as (
    update public.agent_tasks t set lease_until = now() + interval '20 seconds'
    from mine m where t.row_id = m.row_id returning t.row_id, t.task_id),
  queued as (
    update public.agent_task_queue q set lease_until = now() + interval '20 seconds'
    from renewed r where q.tenant_id = who.tenant and q.task_row = r.row_id)
  select coalesce(array_agg(r.task_id), '{}') into held from renewed r;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return held;
end
$function$
-- owner federation_definer
grant execute on function public.renew_tasks(jsonb,text,text) to authenticated;
grant execute on function public.renew_tasks(jsonb,text,text) to service_role;
comment on function public.renew_tasks(jsonb,text,text) is 'Extends leases by 20 seconds; the ids of those that are still held.';

CREATE OR REPLACE FUNCTION public.report_agent_gone(agent text, instance text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  shortened integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_agent('agent', agent), federation.check_text('instance', instance, 255);
  -- Long enough for a worker that is there after all to renew over REST.
  with cut as (
    update public.agent_tasks t set lease_until = now() + interval '1.5 seconds'
    where t.tenant_id = who.tenant and t.ended_at is null and t.lease_until > now() + interval '1.5 seconds'
      and t.lease_agent = report_agent_gone.agent and t.instance_id = report_agent_gone.instance
    returning t.row_id)
  update public.agent_task_queue q set lease_until = now() + interval '1.5 seconds'
  from cut where q.tenant_id = who.tenant and q.task_row = cut.row_id;
  get diagnostics shortened = row_count;
  -- So that the others need not say it too.
  perform federation.announce('federation:' || who.tenant || ':feed', 'agent_gone', jsonb_build_object('agent', agent, 'instance', instance));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return shortened;
end
$function$
-- owner federation_definer
grant execute on function public.report_agent_gone(text,text,text,text) to authenticated;
grant execute on function public.report_agent_gone(text,text,text,text) to service_role;
comment on function public.report_agent_gone(text,text,text,text) is 'A peer saw this process leave: its leases end in 1.5 seconds unless it renews them; how many.';

CREATE OR REPLACE FUNCTION public.report_progress(task_id text, fence bigint, progress real DEFAULT NULL::real, checkpoint jsonb DEFAULT NULL::jsonb, note text DEFAULT NULL::text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_json('checkpoint', report_progress.checkpoint),
    federation.check_text('note', report_progress.note, 65536, false);
  if report_progress.progress is not null and not (report_progress.progress >= 0 and report_progress.progress <= 1) then
    raise exception 'progress: expected a number from 0 to 1, got %', report_progress.progress using errcode = '22023';
  end if;
  task := federation.lock_task(who.tenant, report_progress.task_id);
  if report_progress.fence is null or not federation.speaks_for(task, who.agent, report_progress.fence) then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(report_progress.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  update public.agent_tasks t set
    progress = coalesce(report_progress.progress, t.progress), checkpoint = coalesce(report_progress.checkpoint, t.checkpoint),
    progress_note = coalesce(report_progress.note, t.progress_note),
    last_progress_at = now()
  where t.row_id = task.row_id returning t.* into task;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$function$
-- owner federation_definer
grant execute on function public.report_progress(text,bigint,real,jsonb,text,text,text) to authenticated;
grant execute on function public.report_progress(text,bigint,real,jsonb,text,text,text) to service_role;
comment on function public.report_progress(text,bigint,real,jsonb,text,text,text) is 'How far a held task is, and where the next attempt shall begin.';

CREATE OR REPLACE FUNCTION public.request_input(task_id text, fence bigint, question text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('question', request_input.question, 65536);
  task := federation.lock_task(who.tenant, request_input.task_id);
  if not federation.speaks_for(task, who.agent, request_input.fence) or task.lease_until is null then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(request_input.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  -- Asked already, by an attempt that did not live to hear the answer.
  if task.question is distinct from request_input.question or task.answer is null then
    update public.agent_tasks t set status = 'input_required', question = request_input.question, answer = null
    where t.row_id = task.row_id returning t.* into task;
    message.tenant_id := who.tenant;
    message.id := gen_random_uuid();
    message.from_agent := who.agent;
    message.to_agent := task.assigned_by;
    message.type := 'task_input_required';
    message.payload := jsonb_build_object('task_id', task.task_id, 'question', task.question, 'agent', who.agent);
    message.hop_count := task.hop_count + 1;
    message.correlation_id := coalesce(task.correlation_id, task.task_id);
    message.traceparent := task.traceparent;
    perform federation.store_message(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$function$
-- owner federation_definer
grant execute on function public.request_input(text,bigint,text,text,text) to authenticated;
grant execute on function public.request_input(text,bigint,text,text,text) to service_role;
comment on function public.request_input(text,bigint,text,text,text) is 'A held task needs an answer before it can go on; tells whoever assigned it.';

CREATE OR REPLACE FUNCTION public.requeue_message(id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  is_one boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set dead_at = null, delivery_attempt = 0
  where m.tenant_id = who.tenant and m.id = requeue_message.id and m.to_agent = who.agent and m.dead_at is not null;
  is_one := found;
  update public.agent_message_failures f set dead_at = null, delivery_attempt = 0
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = requeue_message.id and f.tenant_id = who.tenant and f.agent_id = who.agent
    and f.dead_at is not null;
  is_one := is_one or found;
  if is_one then
    perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'message', jsonb_build_object('id', requeue_message.id));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_one;
end
$function$
-- owner federation_definer
grant execute on function public.requeue_message(text,text,text) to authenticated;
grant execute on function public.requeue_message(text,text,text) to service_role;
comment on function public.requeue_message(text,text,text) is 'Takes a message to the acting agent out of its dead letters: it is delivered again.';

CREATE OR REPLACE FUNCTION public.requeue_task(task_id text, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  task := federation.lock_task(who.tenant, requeue_task.task_id);
  if who.agent <> task.assigned_by then
    raise exception 'task % was assigned by another agent', quote_literal(requeue_task.task_id) using errcode = '42501';
  end if;
  if task.status not in ('dead', 'failed') then
    raise exception 'task % is %, not dead or failed', quote_literal(requeue_task.task_id), task.status using errcode = '55000';
  end if;
  update public.agent_tasks t set
    status = case when t.assigned_to is null then 'pending' else 'assigned' end, attempt = 0, error = null, ended_at = null,
    lease_agent = null, instance_id = null, fence = t.fence + 1,
    deadline = case when t.deadline > now() then t.deadline end, expires_at = case when t.expires_at > now() then t.expires_at end
  where t.row_id = task.row_id returning t.* into task;
  insert into public.agent_task_queue (tenant_id, task_row, assigned_to, capability, priority, fence)
  values (task.tenant_id, task.row_id, task.assigned_to, task.capability,
    array_position(array['critical', 'high', 'medium', 'low'], task.priority) - 1, task.fence);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$function$
-- owner federation_definer
grant execute on function public.requeue_task(text,text,text) to authenticated;
grant execute on function public.requeue_task(text,text,text) to service_role;
comment on function public.requeue_task(text,text,text) is 'Lets a dead or failed task be tried again, with all its attempts; a deadline that has passed is dropped.';

CREATE OR REPLACE FUNCTION public.schedule_maintenance()
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories(), cleanup_tombstones(), cleanup_messages() and cleanup_events() from a service now and then; the agents'' own calls sweep');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *',
    'select public.cleanup_expired_memories(), public.cleanup_tombstones(), public.cleanup_messages(), public.cleanup_events()';
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-sweep', '* * * * *', 'select public.sweep()';
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup', 'agent-federation-sweep'), 'reason', null);
end
$function$
-- owner postgres
grant execute on function public.schedule_maintenance() to service_role;
comment on function public.schedule_maintenance() is 'Has pg_cron clean up every five minutes and sweep every minute, where there is one.';

CREATE OR REPLACE FUNCTION public.schema_version()
 RETURNS integer
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ select 7 $function$
-- owner postgres
grant execute on function public.schema_version() to anon;
grant execute on function public.schema_version() to authenticated;
grant execute on function public.schema_version() to service_role;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';

CREATE OR REPLACE FUNCTION public.search_memories(embedding extensions.vector, max_rows integer DEFAULT 10, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'extensions', 'pg_temp'
AS $function$
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
    $function$
-- owner postgres
grant execute on function public.search_memories(extensions.vector,integer,text,text) to authenticated;
grant execute on function public.search_memories(extensions.vector,integer,text,text) to service_role;
comment on function public.search_memories(extensions.vector,integer,text,text) is 'The memories nearest in meaning, best first, of the same dimension only.';

CREATE OR REPLACE FUNCTION public.send_message(id text, to_agent text, type text, payload jsonb, reply_to text DEFAULT NULL::text, correlation_id text DEFAULT NULL::text, hop_count integer DEFAULT 0, sender_seq bigint DEFAULT NULL::bigint, instance_id text DEFAULT NULL::text, traceparent text DEFAULT NULL::text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_variable
declare
  who record;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('id', id, 255), federation.check_agent('to_agent', to_agent),
    federation.check_text('type', type, 255), federation.check_json('payload', payload),
    federation.check_text('reply_to', reply_to, 255, false), federation.check_text('correlation_id', correlation_id, 255, false),
    federation.check_text('instance_id', instance_id, 255, false), federation.check_text('traceparent', traceparent, 255, false);
  if hop_count < 0 then
    raise exception 'hop_count: expected 0 or more, got %', hop_count using errcode = '22023';
  end if;
  -- Whoever gets these acts on them, so they come from the functions that change the task and from nowhere else.
  if type = 'task_assignment' then
    raise exception 'task_assignment is no message to send' using errcode = '42501', hint = 'Call assign_task().';
  elsif type = 'task_complete' and to_agent is not null then
    raise exception 'task_complete is no message to send to one agent' using errcode = '42501',
      hint = 'Call complete_task(), which tells whoever assigned the task.';
  elsif type = 'task_complete' and payload ->> 'completed_by' <> who.agent then
    raise exception 'task_complete: completed_by: expected %, who sends it, got %', quote_literal(who.agent),
      quote_literal(left(payload ->> 'completed_by', 150)) using errcode = '42501';
  end if;
  message.tenant_id := who.tenant;
  message.id := id;
  message.from_agent := who.agent;
  message.to_agent := to_agent;
  message.type := type;
  message.payload := coalesce(payload, 'null');
  message.reply_to := reply_to;
  message.correlation_id := correlation_id;
  message.hop_count := coalesce(hop_count, 0);
  message.sender_seq := sender_seq;
  message.instance_id := instance_id;
  message.traceparent := traceparent;
  message.expires_at := expires_at;
  message := federation.store_message(message);
  if message.tx = pg_current_xact_id() then
    perform federation.check_budget(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.message_json(message);
end
$function$
-- owner federation_definer
grant execute on function public.send_message(text,text,text,jsonb,text,text,integer,bigint,text,text,timestamp with time zone,text,text) to authenticated;
grant execute on function public.send_message(text,text,text,jsonb,text,text,integer,bigint,text,text,timestamp with time zone,text,text) to service_role;
comment on function public.send_message(text,text,text,jsonb,text,text,integer,bigint,text,text,timestamp with time zone,text,text) is 'Stores and announces a message; the same id with the same content again answers the stored one.';

CREATE OR REPLACE FUNCTION public.set_load(session_id text, load real, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if set_load.load is null or not (set_load.load >= 0 and set_load.load <= 1) then
    raise exception 'load: expected a number from 0 to 1, got %', coalesce(set_load.load::text, 'nothing') using errcode = '22023';
  end if;
  update public.agent_sessions s set load = set_load.load, last_seen_at = now()
  where s.tenant_id = who.tenant and s.session_id = set_load.session_id and (s.agent_id = who.agent or who.agent is null)
    and s.ended_at is null
  returning s.* into session;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(set_load.session_id) using errcode = 'P0002';
  end if;
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', tell_in_ms);
end
$function$
-- owner federation_definer
grant execute on function public.set_load(text,real,text,text) to authenticated;
grant execute on function public.set_load(text,real,text,text) to service_role;
comment on function public.set_load(text,real,text,text) is 'How busy a session is, from 0 to 1.';

CREATE OR REPLACE FUNCTION public.start_feed(as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  counted integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update federation.feed_places p set starts = p.starts + 1
  where p.tenant_id = who.tenant and p.agent_id = who.agent returning p.starts into counted;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return coalesce(counted, 0);
end
$function$
-- owner federation_definer
grant execute on function public.start_feed(text,text) to authenticated;
grant execute on function public.start_feed(text,text) to service_role;
comment on function public.start_feed(text,text) is 'A process of the acting agent begins to tell what comes behind the agent''s place; how many have since the place moved.';

CREATE OR REPLACE FUNCTION public.store_memories(memories jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS SETOF jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'extensions', 'pg_temp'
AS $function$
declare
  who record;
  ids text[];
  owners text[];
  older text[];
  taken text;
  skipped text[] := '{}';
  is_conditional boolean;
  must_be_new text[] := '{}';
  written integer;
begin
  -- A service that names no agent says in each memory whose it is.
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if memories is null or jsonb_typeof(memories) <> 'array' then
    raise exception 'memories: expected an array of objects, got %', coalesce(jsonb_typeof(memories), 'nothing') using errcode = '22023';
  end if;
  perform federation.check_memory(m.value, m.ordinality, who.tenant, who.agent)
  from jsonb_array_elements(memories) with ordinality m;
  ids := array(select m.value ->> 'id' from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  owners := array(
    select coalesce(m.value ->> 'agent_id', who.agent) from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  taken := federation.taken_memory(who.tenant, ids, owners);
  if taken is not null then
    raise exception 'memory % belongs to another agent', quote_literal(taken) using errcode = '42501';
  end if;

  if jsonb_path_exists(memories, '$[*] ? (@.skip_identical == true)') then
    skipped := federation.identical_memories(memories, who.tenant, who.agent);
  end if;

  older := array(
    select m.value ->> 'supersedes' from jsonb_array_elements(memories) m where m.value ->> 'supersedes' is not null);
  is_conditional := jsonb_path_exists(memories, '$[*] ? (@.if_version >= 0)');
  perform federation.lock_writers(who.tenant, owners, is_conditional or cardinality(older) > 0);
  if is_conditional then
    perform from public.agent_memories k where k.tenant_id = who.tenant and k.id = any (ids) order by k.id for update;
  end if;
  if is_conditional then
    perform federation.check_versions(memories, who.tenant, skipped, false);
    must_be_new := array(select m.value ->> 'id' from jsonb_array_elements(memories) m where m.value -> 'if_version' = '0');
  end if;
  insert into public.agent_memories as k (
    tenant_id, id, agent_id, session_id, content, embedding, embedding_model, metadata, source, scope, supersedes,
    valid_from, valid_to, traceparent, correlation_id, instance_id, created_at, expires_at)
  select who.tenant, w.id, coalesce(w.agent_id, who.agent), w.session_id, w.content, (g.value ->> 'embedding')::vector,
    w.embedding_model, coalesce(w.metadata, '{}'), w.source, coalesce(w.scope, 'tenant'), w.supersedes, w.valid_from,
    w.valid_to, w.traceparent, w.correlation_id, w.instance_id, coalesce(w.created_at, now()), coalesce(w.expires_at, now() + make_interval(secs => w.ttl_seconds))
  from (
    select distinct on (m.value ->> 'id') m.value from jsonb_array_elements(memories) with ordinality m
    where skipped[m.ordinality] is null
    order by m.value ->> 'id', m.ordinality desc) g,
    jsonb_to_record(g.value) as w (
      id text, agent_id text, session_id text, content text, embedding_model text, metadata jsonb, source jsonb, scope text,
      supersedes text, valid_from timestamptz, valid_to timestamptz, traceparent text, correlation_id text, instance_id text,
      created_at timestamptz, expires_at timestamptz, ttl_seconds float8)
  order by w.id
  on conflict (tenant_id, id) do update set
    session_id = excluded.session_id, content = excluded.content, embedding = excluded.embedding,
    embedding_model = excluded.embedding_model, metadata = excluded.metadata, source = excluded.source,
    scope = excluded.scope, supersedes = excluded.supersedes, valid_from = excluded.valid_from, valid_to = excluded.valid_to,
    traceparent = excluded.traceparent, correlation_id = excluded.correlation_id, instance_id = excluded.instance_id,
    created_at = excluded.created_at, expires_at = excluded.expires_at, deleted_at = null,
    superseded_by = case when k.deleted_at is null then k.superseded_by end
  where k.agent_id = excluded.agent_id and (k.deleted_at is not null or k.id <> all (must_be_new)) and (
    k.deleted_at is not null
    or (k.session_id, k.content, k.embedding, k.embedding_model, k.metadata, k.source, k.scope, k.supersedes, k.valid_from,
        k.valid_to, k.expires_at) is distinct from
       (excluded.session_id, excluded.content, excluded.embedding, excluded.embedding_model, excluded.metadata,
        excluded.source, excluded.scope, excluded.supersedes, excluded.valid_from, excluded.valid_to, excluded.expires_at));
  get diagnostics written = row_count;
  if is_conditional then
    perform federation.check_versions(memories, who.tenant, skipped, true);
  end if;
  -- What was not written was there already, or another agent stored it a moment ago.
  if written < cardinality(ids) then
    taken := federation.taken_memory(who.tenant, ids, owners);
    if taken is not null then
      raise exception 'memory % belongs to another agent', quote_literal(taken) using errcode = '42501';
    end if;
  end if;
  if cardinality(older) > 0 then
    update public.agent_memories k set superseded_by = m.id
    from (
      select g.value ->> 'id' as id, g.value ->> 'supersedes' as old_id, coalesce(g.value ->> 'agent_id', who.agent) as owner
      from jsonb_array_elements(memories) with ordinality g
      where g.value ->> 'supersedes' is not null and skipped[g.ordinality] is null offset 0) m
    where k.tenant_id = who.tenant and k.id = m.old_id and k.id <> m.id
      and k.agent_id = m.owner and k.deleted_at is null and k.superseded_by is distinct from m.id;
  end if;

  if cardinality(skipped) > 0 then
    ids := array(
      select coalesce(s.id, i.id) from unnest(ids) with ordinality i (id, place)
      join unnest(skipped) with ordinality s (id, place) using (place) order by place);
  end if;
  -- One look-up a memory, whatever the planner thinks of an array's length.
  return query
    select federation.memory_json(k.memory) from unnest(ids) with ordinality as wanted (id, place)
    cross join lateral (
      select m as memory from public.agent_memories m
      where m.tenant_id = who.tenant and m.id = wanted.id offset 0) k
    order by wanted.place;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$function$
-- owner postgres
grant execute on function public.store_memories(jsonb,text,text) to authenticated;
grant execute on function public.store_memories(jsonb,text,text) to service_role;
comment on function public.store_memories(jsonb,text,text) is 'Inserts or replaces memories by id; the same content again changes nothing.';

CREATE OR REPLACE FUNCTION public.store_memory(memory jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if memory is null or jsonb_typeof(memory) <> 'object' then
    raise exception 'memory: expected an object, got %', coalesce(jsonb_typeof(memory), 'nothing') using errcode = '22023';
  end if;
  return (select s from public.store_memories(jsonb_build_array(memory), as_agent, as_tenant) s);
end
$function$
-- owner postgres
grant execute on function public.store_memory(jsonb,text,text) to authenticated;
grant execute on function public.store_memory(jsonb,text,text) to service_role;
comment on function public.store_memory(jsonb,text,text) is 'Inserts or replaces a memory by id; answers the row.';

CREATE OR REPLACE FUNCTION public.sweep(as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  done jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    done := federation.sweep_own();
  else
    -- A service that names no tenant sweeps all of them, one after the other; nobody else gets here.
    select coalesce(jsonb_object_agg(c.what, c.many), '{}') into done
    from (
      select w.key as what, sum(w.value::bigint) as many
      from (select distinct s.tenant_id from public.agent_sessions s where s.ended_at is null) t,
        lateral jsonb_each_text(public.sweep(null, t.tenant_id)) w
      group by w.key) c;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return done;
end
$function$
-- owner postgres
grant execute on function public.sweep(text,text) to authenticated;
grant execute on function public.sweep(text,text) to service_role;
comment on function public.sweep(text,text) is 'Ends what has timed out, in the caller''s tenant or for a service in all; counts what it did.';

CREATE OR REPLACE FUNCTION public.take_inbox(session_id text, asked boolean DEFAULT false, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  holder record;
  ask_again_ms integer;
  is_first boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', take_inbox.session_id, 255);
  perform pg_advisory_xact_lock(hashtextextended('federation.take_inbox ' || who.tenant || ' ' || who.agent, 0));
  if not exists (
    select from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = take_inbox.session_id and s.agent_id = who.agent and s.ended_at is null) then
    raise exception 'no open session % of this agent', quote_literal(take_inbox.session_id) using errcode = 'P0002';
  end if;
  select t.session_id, t.asked_at into holder
  from federation.inbox_turns t join public.agent_sessions s on s.tenant_id = t.tenant_id and s.session_id = t.session_id
  where t.tenant_id = who.tenant and t.agent_id = who.agent and s.ended_at is null
    and s.last_seen_at >= now() - make_interval(secs => s.timeout_seconds);
  if holder.session_id is null or holder.session_id = take_inbox.session_id
    or holder.asked_at < clock_timestamp() - interval '1 second' then
    insert into federation.inbox_turns as t (tenant_id, agent_id, session_id, asked_at)
    values (who.tenant, who.agent, take_inbox.session_id, null)
    on conflict (tenant_id, agent_id) do update set session_id = excluded.session_id, asked_at = null;
    is_first := true;
  elsif not coalesce(asked, false) or holder.asked_at is not null then
    if holder.asked_at is null then
      update federation.inbox_turns t set asked_at = clock_timestamp() where t.tenant_id = who.tenant and t.agent_id = who.agent;
      perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'inbox_asked',
        jsonb_build_object('session_id', holder.session_id));
    end if;
    ask_again_ms := greatest(1, ceil(1001 - coalesce(extract(epoch from clock_timestamp() - holder.asked_at), 0) * 1000));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('first', is_first, 'ask_again_ms', ask_again_ms);
end
$function$
-- owner federation_definer
grant execute on function public.take_inbox(text,boolean,text,text) to authenticated;
grant execute on function public.take_inbox(text,boolean,text,text) to service_role;
comment on function public.take_inbox(text,boolean,text,text) is 'Whether this session is the one that handles the agent''s messages; asks the one that does, and takes over when it does not answer.';

CREATE OR REPLACE FUNCTION public.take_lock(name text, instance_id text, ttl_ms integer DEFAULT 30000, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  lock public.agent_locks;
  until timestamptz;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('name', take_lock.name, 1024), federation.check_text('instance_id', take_lock.instance_id, 255);
  if take_lock.ttl_ms is null or take_lock.ttl_ms not between 100 and 86400000 then
    raise exception 'ttl_ms: expected 100 to 86400000, got %', coalesce(take_lock.ttl_ms::text, 'nothing') using errcode = '22023';
  end if;
  until := clock_timestamp() + take_lock.ttl_ms * interval '1 millisecond';
  insert into public.agent_locks as l (tenant_id, name, holder, instance_id, fence, expires_at)
  values (who.tenant, take_lock.name, who.agent, take_lock.instance_id, nextval('federation.lock_fence'), until)
  on conflict (tenant_id, name) do update set
    holder = excluded.holder, instance_id = excluded.instance_id, fence = excluded.fence, taken_at = now(), expires_at = excluded.expires_at
  where l.expires_at < clock_timestamp() or (l.holder, l.instance_id) = (excluded.holder, excluded.instance_id)
  returning l.* into lock;
  if lock.row_id is null then
    select l.* into lock from public.agent_locks l where l.tenant_id = who.tenant and l.name = take_lock.name;
    perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    return coalesce(federation.lock_json(lock), '{}') || '{"held": false}';
  end if;
  perform federation.announce('federation:' || who.tenant || ':feed', 'lock', jsonb_build_object(
    'name', lock.name, 'state', 'taken', 'holder', lock.holder, 'fence', lock.fence));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.lock_json(lock) || '{"held": true}';
end
$function$
-- owner federation_definer
grant execute on function public.take_lock(text,text,integer,text,text) to authenticated;
grant execute on function public.take_lock(text,text,integer,text,text) to service_role;
comment on function public.take_lock(text,text,integer,text,text) is 'Takes a lock that nobody holds, for so long; `held` says whether, the rest who holds it.';

CREATE OR REPLACE FUNCTION public.tell_sessions(as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return tell_in_ms;
end
$function$
-- owner federation_definer
grant execute on function public.tell_sessions(text,text) to authenticated;
grant execute on function public.tell_sessions(text,text) to service_role;
comment on function public.tell_sessions(text,text) is 'Tells a large room which sessions changed, unless that was done within this second; after how many milliseconds it may be.';

CREATE OR REPLACE FUNCTION public.undo_deliveries(ids text[], as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  who record;
  undone integer;
  more integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  with wanted as (
    select m.row_id from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      and m.delivery_attempt > 0
    order by m.row_id for update)
  update public.agent_messages m set delivery_attempt = m.delivery_attempt - 1
  from wanted w where m.row_id = w.row_id;
  get diagnostics undone = row_count;
  update public.agent_message_failures f set delivery_attempt = f.delivery_attempt - 1
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = any (ids) and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
    and f.delivery_attempt > 0;
  get diagnostics more = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return undone + more;
end
$function$
-- owner federation_definer
grant execute on function public.undo_deliveries(text[],text,text) to authenticated;
grant execute on function public.undo_deliveries(text[],text,text) to service_role;
comment on function public.undo_deliveries(text[],text,text) is 'Takes back deliveries to the acting agent that were counted and did not take place; how many.';

CREATE OR REPLACE FUNCTION public.update_session(session_id text, status text, task text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_text('session_id', update_session.session_id, 255),
    federation.check_text('status', update_session.status, 64),
    federation.check_text('task', update_session.task, 65536, false),
    federation.check_json('metadata', update_session.metadata, 65536);
  if jsonb_typeof(update_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(update_session.metadata) using errcode = '22023';
  end if;
  update public.agent_sessions s set
    status = update_session.status, task = update_session.task,
    metadata = coalesce(update_session.metadata, s.metadata), last_seen_at = now()
  where s.tenant_id = who.tenant and s.session_id = update_session.session_id and (s.agent_id = who.agent or who.agent is null)
    and s.ended_at is null
  returning s.* into session;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(update_session.session_id) using errcode = 'P0002';
  end if;
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', tell_in_ms);
end
$function$
-- owner federation_definer
grant execute on function public.update_session(text,text,text,jsonb,text,text) to authenticated;
grant execute on function public.update_session(text,text,text,jsonb,text,text) to service_role;
comment on function public.update_session(text,text,text,jsonb,text,text) is 'Sets status and task of an open session; P0002 when there is none.';
