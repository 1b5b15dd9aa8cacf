import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRest, type RestFixture } from "./test-support/rest-fixture.ts";

// The films of PostgREST's own documentation (references/api/resource_embedding).
let stack: RestFixture;

beforeAll(async () => {
  stack = await startRest(`
    create table directors (id int primary key, first_name text, last_name text);
    create table films (
      id int primary key,
      director_id int references directors,
      title text,
      year int,
      price numeric,
      facts json
    );
    create table technical_specs (film_id int primary key references films, runtime text, camera text);
    create table actors (id int primary key, name text);
    create table roles (
      film_id int references films, actor_id int references actors, character text,
      primary key (film_id, actor_id)
    );
    create table addresses (id int primary key, name text);
    create table orders (
      id int primary key, name text,
      billing_address_id int constraint billing references addresses,
      shipping_address_id int constraint shipping references addresses
    );
    create table categories (id int primary key, name text, parent_id int references categories);
    create view films_view as select id, title as name, director_id as director from films where year > 1900;
    create view films_of_view as select id, name, director from films_view;
    create view computed_view as select upper(title) as title from films;
    create function full_name(directors) returns text language sql stable as $$ select $1.first_name || ' ' || $1.last_name $$;
    create function premieres(directors) returns setof films rows 1 language sql stable as $$
      select * from films where director_id = $1.id order by year limit 1 $$;
    create function late_films(directors) returns setof films language sql stable as $$
      select * from films where director_id = $1.id and year > 2000 $$;

    insert into directors values (1, 'Lana', 'Wachowski'), (2, 'Ang', 'Lee'), (3, 'No', 'Films');
    insert into films values
      (1, 1, 'The Matrix', 1999, 1.10, '{"b": 1, "a": 2}'), (2, 1, 'Cloud Atlas', 2012, 2, null),
      (3, 2, 'Life of Pi', 2012, 3, null), (4, null, 'Orphan', 2009, 4, null);
    insert into technical_specs values (1, '2h 16m', 'Panavision'), (3, '2h 7m', 'Alexa');
    insert into actors values (1, 'Keanu'), (2, 'Carrie'), (3, 'Tom'), (4, 'Nobody');
    insert into roles values (1, 1, 'Neo'), (1, 2, 'Trinity'), (2, 3, 'Zachry');
    insert into addresses values (1, 'Home'), (2, 'Work');
    insert into orders values (1, 'first', 1, 2);
    insert into categories values (1, 'root', null), (2, 'leaf', 1), (3, 'other leaf', 1);
    grant select on all tables in schema public to service_role;
    grant insert, update, delete on films, roles to service_role;
  `);
});
afterAll(() => stack.close());

/** As long as Postgres lets a name be. */
const longName = "a".repeat(63);

interface Answer {
  readonly data: unknown;
  readonly error: unknown;
}

async function data(query: PromiseLike<Answer>): Promise<unknown> {
  const { data: found, error } = await query;
  expect(error).toBeNull();
  return found;
}

const from = (table: string) => stack.as("service_role").from(table);

describe("relationships", () => {
  test("many to one is an object, null where there is none", async () => {
    expect(await data(from("films").select("title, directors(last_name)").order("id"))).toEqual([
      { title: "The Matrix", directors: { last_name: "Wachowski" } },
      { title: "Cloud Atlas", directors: { last_name: "Wachowski" } },
      { title: "Life of Pi", directors: { last_name: "Lee" } },
      { title: "Orphan", directors: null },
    ]);
  });

  test("one to many is a list, empty where there is none", async () => {
    expect(await data(from("directors").select("last_name, films(title)").order("id"))).toEqual([
      { last_name: "Wachowski", films: [{ title: "The Matrix" }, { title: "Cloud Atlas" }] },
      { last_name: "Lee", films: [{ title: "Life of Pi" }] },
      { last_name: "Films", films: [] },
    ]);
  });

  test("one to one is an object both ways", async () => {
    expect(
      await data(from("films").select("title, technical_specs(camera)").lte("id", 2).order("id")),
    ).toEqual([
      { title: "The Matrix", technical_specs: { camera: "Panavision" } },
      { title: "Cloud Atlas", technical_specs: null },
    ]);
    expect(await data(from("technical_specs").select("camera, films(title)").eq("film_id", 3))).toEqual([
      { camera: "Alexa", films: { title: "Life of Pi" } },
    ]);
  });

  test("many to many goes across the junction", async () => {
    expect(await data(from("actors").select("name, films(title)").order("id"))).toEqual([
      { name: "Keanu", films: [{ title: "The Matrix" }] },
      { name: "Carrie", films: [{ title: "The Matrix" }] },
      { name: "Tom", films: [{ title: "Cloud Atlas" }] },
      { name: "Nobody", films: [] },
    ]);
    expect(await data(from("films").select("actors!roles(name)").eq("id", 1).order("id"))).toEqual([
      { actors: [{ name: "Keanu" }, { name: "Carrie" }] },
    ]);
  });

  test("nested and renamed", async () => {
    const query = from("directors").select(
      "name:last_name, works:films(title, cast:roles(character, actors(name)))",
    );
    expect(await data(query.eq("id", 1).order("id", { referencedTable: "works" }))).toEqual([
      {
        name: "Wachowski",
        works: [
          {
            title: "The Matrix",
            cast: [
              { character: "Neo", actors: { name: "Keanu" } },
              { character: "Trinity", actors: { name: "Carrie" } },
            ],
          },
          { title: "Cloud Atlas", cast: [{ character: "Zachry", actors: { name: "Tom" } }] },
        ],
      },
    ]);
  });

  test("a hint by constraint or column, or the constraint or column as target", async () => {
    const expected = [{ name: "first", b: { name: "Home" }, s: { name: "Work" } }];
    for (const select of [
      "name, b:addresses!billing(name), s:addresses!shipping(name)",
      "name, b:addresses!billing_address_id(name), s:addresses!shipping_address_id(name)",
      "name, b:billing(name), s:shipping(name)",
      "name, b:billing_address_id(name), s:shipping_address_id(name)",
    ]) {
      expect(await data(from("orders").select(select))).toEqual(expected);
    }
  });

  test("within one table the name means the many, the column the one", async () => {
    expect(await data(from("categories").select("name, categories(name)").eq("id", 1))).toEqual([
      { name: "root", categories: [{ name: "leaf" }, { name: "other leaf" }] },
    ]);
    expect(await data(from("categories").select("name, parent:parent_id(name)").eq("id", 2))).toEqual([
      { name: "leaf", parent: { name: "root" } },
    ]);
    expect(await data(from("categories").select("children:categories!parent_id(name)").eq("id", 1))).toEqual([
      { children: [{ name: "leaf" }, { name: "other leaf" }] },
    ]);
  });

  test("views keep the relationships of the columns they show", async () => {
    expect(await data(from("films_view").select("name, directors(last_name)").eq("id", 3))).toEqual([
      { name: "Life of Pi", directors: { last_name: "Lee" } },
    ]);
    expect(await data(from("films_of_view").select("name, directors(last_name)").eq("id", 3))).toEqual([
      { name: "Life of Pi", directors: { last_name: "Lee" } },
    ]);
    expect(await data(from("directors").select("films_view(name)").eq("id", 2))).toEqual([
      { films_view: [{ name: "Life of Pi" }] },
    ]);
    const { error } = await from("computed_view").select("title, directors(*)");
    expect(error).toMatchObject({ code: "PGRST200" });
  });

  test("computed columns and computed relationships", async () => {
    expect(await data(from("directors").select("full_name").eq("full_name", "Ang Lee"))).toEqual([
      { full_name: "Ang Lee" },
    ]);
    expect(
      await data(from("directors").select("id, premieres(title), late_films(title)").eq("id", 1)),
    ).toEqual([{ id: 1, premieres: { title: "The Matrix" }, late_films: [{ title: "Cloud Atlas" }] }]);
  });

  test("columns and relations may be called like what the statement calls its own", async () => {
    const query = from("films").select("pgrst_rows:id, films_1:title, directors(pgrst_rows:id)").eq("id", 3);
    expect(await data(query)).toEqual([
      { pgrst_rows: 3, films_1: "Life of Pi", directors: { pgrst_rows: 2 } },
    ]);
    const many = from("directors").select("pgrst_source:id, films(pgrst_rows:id)").eq("id", 2);
    expect(await data(many)).toEqual([{ pgrst_source: 2, films: [{ pgrst_rows: 3 }] }]);
    await stack.database.exec(`
      create table ${longName} (id int primary key, up_id int references ${longName});
      insert into ${longName} values (1, null), (2, 1); grant select on ${longName} to service_role`);
    const deep = from(longName).select(`id, up:up_id(id), down:${longName}(id, up:up_id(id))`).order("id");
    expect(await data(deep)).toEqual([
      { id: 1, up: null, down: [{ id: 2, up: { id: 1 } }] },
      { id: 2, up: { id: 1 }, down: [] },
    ]);
  });

  test("embedded values come out as they are", async () => {
    const { body } = await stack.send({
      path: "/directors",
      query: "select=films(price,facts)&id=eq.1&films.id=eq.1",
    });
    expect(body).toBe('[{"films":[{"price":1.10,"facts":{"b": 1, "a": 2}}]}]');
  });
});

describe("filters on embedded relations", () => {
  test("filter, order, limit and offset within", async () => {
    const query = from("directors").select("id, films(title)").eq("id", 1);
    expect(await data(query.eq("films.year", 2012))).toEqual([{ id: 1, films: [{ title: "Cloud Atlas" }] }]);
    const ordered = from("directors")
      .select("films(title)")
      .eq("id", 1)
      .order("title", { referencedTable: "films" });
    expect(await data(ordered.limit(1, { referencedTable: "films" }))).toEqual([
      { films: [{ title: "Cloud Atlas" }] },
    ]);
    const second = from("directors")
      .select("films(title)")
      .eq("id", 1)
      .order("title", { referencedTable: "films" });
    expect(await data(second.range(1, 1, { referencedTable: "films" }))).toEqual([
      { films: [{ title: "The Matrix" }] },
    ]);
  });

  test("or within an embedded relation", async () => {
    const query = from("directors").select("films(title)").eq("id", 1);
    expect(
      await data(
        query
          .or("year.eq.2012,title.like.The*", { referencedTable: "films" })
          .order("id", { referencedTable: "films" }),
      ),
    ).toEqual([{ films: [{ title: "The Matrix" }, { title: "Cloud Atlas" }] }]);
  });

  test("!inner leaves out rows without, and counts so", async () => {
    const query = from("films").select("title, directors!inner(last_name)", { count: "exact" });
    const { data: found, count } = await query.eq("directors.last_name", "Lee");
    expect({ found, count }).toEqual({
      found: [{ title: "Life of Pi", directors: { last_name: "Lee" } }],
      count: 1,
    });
    const many = from("directors")
      .select("last_name, films!inner(title)", { count: "exact" })
      .eq("films.year", 2012);
    expect((await many.order("id").limit(1)).count).toBe(2);
    const across = from("actors")
      .select("name, films!inner(title, directors!inner(id))")
      .eq("films.directors.id", 1);
    expect(await data(across.order("id"))).toMatchObject([
      { name: "Keanu" },
      { name: "Carrie" },
      { name: "Tom" },
    ]);
  });

  test("a relation that selects nothing only filters", async () => {
    expect(
      await data(from("films").select("title, directors!inner()").eq("directors.first_name", "Ang")),
    ).toEqual([{ title: "Life of Pi" }]);
  });

  test("null and not null of a relation", async () => {
    expect(await data(from("films").select("title, directors(id)").is("directors", null))).toEqual([
      { title: "Orphan", directors: null },
    ]);
    const without = from("directors").select("last_name, films(id)", { count: "exact" }).is("films", null);
    expect(await without).toMatchObject({ data: [{ last_name: "Films", films: [] }], count: 1 });
    const withFilms = from("directors")
      .select("last_name, films()")
      .not("films", "is", null)
      .eq("films.year", 2012);
    expect(await data(withFilms.order("id"))).toEqual([{ last_name: "Wachowski" }, { last_name: "Lee" }]);
    const either = from("films").select("id, directors(), technical_specs()", { count: "exact" });
    const { data: found, count } = await either
      .or("directors.is.null,technical_specs.not.is.null")
      .order("id")
      .limit(2);
    expect({ found, count }).toEqual({ found: [{ id: 1 }, { id: 3 }], count: 3 });
  });

  test("a row whose selected columns are null is a row all the same", async () => {
    await stack.database.exec(
      "insert into directors values (9, null, 'Nameless'); insert into films values (9, 9)",
    );
    expect(await data(from("films").select("id, directors(first_name)").eq("id", 9))).toEqual([
      { id: 9, directors: { first_name: null } },
    ]);
    const without = from("films").select("id, directors(first_name)").is("directors", null).order("id");
    expect(await data(without)).toMatchObject([{ id: 4 }]);
    const withOne = from("films")
      .select("id, directors(first_name)")
      .not("directors", "is", null)
      .eq("id", 9);
    expect(await data(withOne)).toMatchObject([{ id: 9 }]);
    await stack.database.exec("delete from films where id = 9; delete from directors where id = 9");
  });

  test("order by a column of a to-one relation", async () => {
    const query = from("films")
      .select("title, directors(last_name)")
      .order("directors(last_name)", { ascending: false, nullsFirst: false });
    expect(await data(query.order("title", { ascending: false }).limit(3))).toMatchObject([
      { title: "The Matrix" },
      { title: "Cloud Atlas" },
      { title: "Life of Pi" },
    ]);
    const { error } = await from("directors").select("films(title)").order("films(title)");
    expect(error).toMatchObject({
      code: "PGRST118",
      message: "A related order on 'films' is not possible",
      details: "'directors' and 'films' do not form a many-to-one or one-to-one relationship",
    });
  });
});

describe("what cannot be embedded", () => {
  test("an unknown relation, with the nearest name", async () => {
    const { error, status } = await from("films").select("director(*)");
    expect(status).toBe(400);
    expect(error).toEqual({
      code: "PGRST200",
      message: "Could not find a relationship between 'films' and 'director' in the schema cache",
      details:
        "Searched for a foreign key relationship between 'films' and 'director' in the schema 'public', but no matches were found.",
      hint: "Perhaps you meant 'directors' instead of 'director'.",
    });
  });

  test("an ambiguous one, with what to write instead", async () => {
    const { error, status } = await from("orders").select("addresses(*)");
    expect(status).toBe(300);
    expect(error).toMatchObject({
      code: "PGRST201",
      message: "Could not embed because more than one relationship was found for 'orders' and 'addresses'",
      details: [
        {
          cardinality: "many-to-one",
          embedding: "orders with addresses",
          relationship: "billing using orders(billing_address_id) and addresses(id)",
        },
        {
          cardinality: "many-to-one",
          embedding: "orders with addresses",
          relationship: "shipping using orders(shipping_address_id) and addresses(id)",
        },
      ],
      hint: "Try changing 'addresses' to one of the following: 'addresses!billing', 'addresses!shipping'. Find the desired relationship in the 'details' key.",
    });
  });

  test("a filter on what was not embedded", async () => {
    const { error, status } = await from("films").select("title").eq("actors.name", "x");
    expect(status).toBe(400);
    expect(error).toMatchObject({
      code: "PGRST108",
      message: "'actors' is not an embedded resource in this request",
      hint: "Verify that 'actors' is included in the 'select' query parameter.",
    });
  });

  test("spread relations and aggregates are refused by name", async () => {
    const spread = await from("films").select("title, ...directors(last_name)");
    expect(spread.error).toMatchObject({ code: "PGRST127", message: "Feature not implemented" });
    for (const select of ["count()", "year.sum()", "total:price.avg()", "directors(id.count())"]) {
      const { error, status } = await from("films").select(select);
      expect({ status, code: (error as { code?: string } | null)?.code }).toEqual({
        status: 400,
        code: "PGRST123",
      });
    }
  });

  test("deeper or wider than anybody reads", async () => {
    const deep = `${"films(directors(".repeat(6)}id${"))".repeat(6)}`;
    expect((await from("directors").select(deep)).error).toMatchObject({ code: "PGRST100" });
    const wide = Array.from({ length: 101 }, (_, at) => `f${at}:films(id)`).join(",");
    expect((await from("directors").select(wide)).error).toMatchObject({ code: "PGRST100" });
  });
});

describe("written and called rows with their relations", () => {
  test("insert, update and delete answer embedded relations", async () => {
    const inserted = from("films")
      .insert({ id: 10, director_id: 2, title: "New" })
      .select("title, directors(last_name)");
    expect(await data(inserted)).toEqual([{ title: "New", directors: { last_name: "Lee" } }]);
    const updated = from("films")
      .update({ director_id: 1 })
      .eq("id", 10)
      .select("directors(full_name), actors(name)");
    expect(await data(updated)).toEqual([{ directors: { full_name: "Lana Wachowski" }, actors: [] }]);
    const role = from("roles")
      .insert({ film_id: 10, actor_id: 4, character: "?" })
      .select("films(title), actors(name)");
    expect(await data(role.single())).toEqual({ films: { title: "New" }, actors: { name: "Nobody" } });
    await from("roles").delete().eq("film_id", 10);
    expect(await data(from("films").delete().eq("id", 10).select("id, directors(id)"))).toEqual([
      { id: 10, directors: { id: 1 } },
    ]);
  });

  test("a function that returns a table's rows embeds like the table", async () => {
    await stack.database.exec(
      "create function old_films() returns setof films language sql stable as 'select * from films where year < 2000'",
    );
    const query = stack
      .as("service_role")
      .rpc("old_films")
      .select("title, directors(last_name), roles(character)");
    expect(await data(query)).toEqual([
      {
        title: "The Matrix",
        directors: { last_name: "Wachowski" },
        roles: [{ character: "Neo" }, { character: "Trinity" }],
      },
    ]);
  });
});
