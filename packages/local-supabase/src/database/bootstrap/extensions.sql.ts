/** The extensions a Supabase project starts with, where this Postgres has them. */
export const extensionsSql: string = `
do $$
declare
  wanted text;
begin
  foreach wanted in array array['uuid-ossp', 'pgcrypto'] loop
    if exists (select from pg_available_extensions where name = wanted and installed_version is null) then
      execute format('create extension if not exists %I with schema extensions', wanted);
    end if;
  end loop;
end
$$;
`;
