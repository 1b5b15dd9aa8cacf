/**
 * `realtime.check_rights`: asks row level security on `realtime.messages` as somebody else, in one round trip. Probe rows
 * are written, looked at as the asking role, and rolled back with everything else that the check did (a subtransaction).
 *
 * Answers `read`: the kinds that may be read, separated by a space; a policy that raises is a no. Answers a kind
 * (`broadcast`, `presence`, `persistence`): `allowed`, `denied`, or `failed: ` and what a policy raised. Only roles that the API may take
 * are asked for: others (owners, superusers) would pass by the policies.
 *
 * Installed at every start, under a lock, since stacks may share a database.
 */
export const checkRightsSql: string = `
do $install$
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('realtime.check_rights', 0));
  execute $create$
    create or replace function realtime.check_rights(
      asked text, asked_topic text, asked_role text, asked_claims text, asked_headers text)
    returns text language plpgsql as $function$
    declare
      answer text := '';
      probed_at timestamp := pg_catalog.now();
      broadcast_id uuid := pg_catalog.gen_random_uuid();
      presence_id uuid := pg_catalog.gen_random_uuid();
    begin
      if not exists (
        select from pg_catalog.pg_roles r
        where r.rolname = asked_role and pg_catalog.pg_has_role('authenticator', r.oid, 'member')
      ) then
        return case when asked = 'read' then '' else 'denied' end;
      end if;
      begin
        if asked = 'read' then
          insert into realtime.messages (id, topic, extension, inserted_at, updated_at)
          values (broadcast_id, asked_topic, 'broadcast', probed_at, probed_at),
                 (presence_id, asked_topic, 'presence', probed_at, probed_at);
        end if;
        perform pg_catalog.set_config('realtime.topic', asked_topic, true),
                pg_catalog.set_config('request.jwt.claims', asked_claims, true),
                pg_catalog.set_config('request.jwt.claim.sub', coalesce(asked_claims::jsonb ->> 'sub', ''), true),
                pg_catalog.set_config('request.jwt.claim.role', asked_role, true),
                pg_catalog.set_config('request.headers', asked_headers, true);
        perform pg_catalog.set_config('role', asked_role, true);
        if asked = 'read' then
          select coalesce(pg_catalog.string_agg(m.extension, ' '), '') into answer
          from realtime.messages m
          where m.id in (broadcast_id, presence_id) and m.inserted_at = probed_at and m.topic = asked_topic;
        else
          insert into realtime.messages (topic, extension, inserted_at, updated_at)
          values (asked_topic, asked, probed_at, probed_at);
          answer := 'allowed';
        end if;
        raise exception using errcode = 'RTPRB', message = 'the check is over';
      exception
        when sqlstate 'RTPRB' then return answer;
        when insufficient_privilege then return case when asked = 'read' then '' else 'denied' end;
        when others then return case when asked = 'read' then '' else 'failed: ' || sqlerrm end;
      end;
    end
    $function$
  $create$;
  revoke all on function realtime.check_rights(text, text, text, text, text) from public;
  comment on function realtime.check_rights(text, text, text, text, text)
    is 'What a role may do on a private channel; asked by the Realtime server, changes nothing.';
end
$install$;
`;
