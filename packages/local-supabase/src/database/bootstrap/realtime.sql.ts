/**
 * The schema `realtime`: messages that the database broadcasts, and the functions that write them.
 *
 * The table belongs to `postgres` so that migrations can make policies on it; `guard.sql.ts` takes away everything
 * else an owner could do. A trigger announces each row; NOTIFY arrives at commit, in commit order, and not at all after
 * a rollback. The announcement carries the row when it fits into NOTIFY's 8,000 bytes: `payload` as the text of the jsonb
 * (spaces and big numbers survive), `binary_payload` as base64.
 */
export const realtimeSql: string = `
do $$
begin
  if to_regclass('realtime.messages') is null then
    create table realtime.messages (
      topic text not null,
      extension text not null,
      payload jsonb,
      event text,
      private boolean default false,
      updated_at timestamp not null default now(),
      inserted_at timestamp not null default now(),
      id uuid not null default gen_random_uuid(),
      binary_payload bytea,
      constraint messages_one_payload check (payload is null or binary_payload is null),
      primary key (id, inserted_at)
    ) partition by range (inserted_at);
    comment on table realtime.messages is 'What the database broadcasts; its policies decide who may use private channels. One partition a day, kept for three days.';
    create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
      where extension = 'broadcast' and private;
    alter table realtime.messages enable row level security;
    alter table realtime.messages owner to postgres;
    revoke all on realtime.messages from postgres, public;
    grant select, insert, update on realtime.messages to postgres, anon, authenticated, service_role;
  end if;
end
$$;
-- Of messages that a client asked to have stored: until when, and that they were sent already.
alter table realtime.messages add column if not exists expires_at timestamp,
  add column if not exists skip_broadcast boolean not null default false;

create or replace function realtime.topic() returns text language sql stable as $$
  select nullif(current_setting('realtime.topic', true), '')
$$;
comment on function realtime.topic() is 'The channel whose rights are being asked for; for policies.';

create or replace function realtime.announce_message() returns trigger language plpgsql set search_path = '' as $$
declare
  announcement text;
begin
  if new.skip_broadcast then
    return null;
  end if;
  announcement := pg_catalog.json_build_object(
    'id', new.id, 'inserted_at', new.inserted_at, 'topic', new.topic, 'event', new.event, 'private', new.private,
    'extension', new.extension, 'payload', new.payload::text,
    'binary_payload', pg_catalog.encode(new.binary_payload, 'base64'))::text;
  if pg_catalog.octet_length(announcement) > 7900 then
    announcement := pg_catalog.json_build_object('id', new.id, 'inserted_at', new.inserted_at)::text;
  end if;
  perform pg_catalog.pg_notify('supabase_realtime_messages', announcement);
  return null;
end
$$;
do $$
begin
  if not exists (select from pg_trigger where tgrelid = 'realtime.messages'::regclass and tgname = 'announce_message') then
    -- Rows without a payload are what policies are asked with; nobody hears of them, and leaving them out halves what that costs.
    create trigger announce_message after insert on realtime.messages
      for each row when (new.payload is not null or new.binary_payload is not null) execute function realtime.announce_message();
  end if;
end
$$;

create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void language plpgsql as $$
declare
  message_id uuid := gen_random_uuid();
begin
  begin
    if jsonb_typeof(send.payload) is distinct from 'object' then
      raise exception 'expected payload to be a jsonb object, got %', coalesce(jsonb_typeof(send.payload), 'null');
    end if;
    perform set_config('realtime.topic', send.topic, true);
    insert into realtime.messages (id, payload, event, topic, private, extension)
    values (
      message_id,
      case when send.payload ? 'id' then send.payload
           else send.payload || jsonb_build_object('id', message_id) end,
      send.event, send.topic, send.private, 'broadcast');
  exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
  end;
end
$$;
comment on function realtime.send(jsonb, text, text, boolean) is 'Broadcasts payload once this transaction commits. A failure is a warning, never an error.';

create or replace function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
returns void language plpgsql as $$
begin
  begin
    perform set_config('realtime.topic', send_binary.topic, true);
    insert into realtime.messages (binary_payload, event, topic, private, extension)
    values (send_binary.payload, send_binary.event, send_binary.topic, send_binary.private, 'broadcast');
  exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
  end;
end
$$;

create or replace function realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text,
  new record, old record, level text default 'ROW')
returns void language plpgsql as $$
begin
  if level = 'STATEMENT' then
    raise exception 'realtime.broadcast_changes works for each row, not for each statement';
  end if;
  if operation not in ('INSERT', 'UPDATE', 'DELETE') then
    raise exception 'realtime.broadcast_changes: expected operation INSERT, UPDATE or DELETE, got %', operation;
  end if;
  perform realtime.send(
    jsonb_build_object('old_record', old, 'record', new, 'operation', operation, 'table', table_name, 'schema', table_schema),
    event_name, topic_name);
end
$$;

-- Partitions from yesterday to three days ahead; older ones than three days go, rows and all.
create or replace function realtime.keep_partitions() returns void language plpgsql set search_path = '' as $$
declare
  day date;
  stale record;
begin
  for offset_days in -1..3 loop
    day := current_date + offset_days;
    if pg_catalog.to_regclass(pg_catalog.format('realtime.%I', 'messages_' || pg_catalog.to_char(day, 'YYYY_MM_DD'))) is null then
      execute pg_catalog.format('create table realtime.%I partition of realtime.messages for values from (%L) to (%L)',
        'messages_' || pg_catalog.to_char(day, 'YYYY_MM_DD'), day, day + 1);
    end if;
  end loop;
  for stale in
    select c.relname from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'realtime.messages'::pg_catalog.regclass
      and c.relname ~ '^messages_\\d{4}_\\d\\d_\\d\\d$'
      and pg_catalog.to_date(pg_catalog.substr(c.relname, 10), 'YYYY_MM_DD') < current_date - 3
  loop
    execute pg_catalog.format('drop table realtime.%I', stale.relname);
  end loop;
end
$$;
revoke all on function realtime.keep_partitions() from public;
`;
