import type { Database } from "../../database/database.ts";
import { RestError } from "../errors/rest-error.ts";
import { loadSchemaCache } from "./load.ts";
import type { SchemaCache } from "./schema-cache.ts";

/**
 * The newest schema cache. Loaded again after `notify pgrst` (which DDL sends) and on demand; requests that need a
 * new one at the same time share a load.
 */
export class CachedSchema {
  readonly #database: Database;
  readonly #schemas: readonly string[];
  #current: SchemaCache | undefined;
  #loading: Promise<SchemaCache> | undefined;
  #next: Promise<SchemaCache> | undefined;
  /** How often the schema is known to have changed. */
  #generation = 0;

  private constructor(database: Database, schemas: readonly string[]) {
    this.#database = database;
    this.#schemas = schemas;
  }

  static async open(database: Database, schemas: readonly string[]): Promise<CachedSchema> {
    const schema = new CachedSchema(database, schemas);
    // Listening ends with the database.
    await database.listen("pgrst", (payload) => {
      if (payload !== "reload config") schema.#forget();
    });
    await schema.reload();
    return schema;
  }

  current(): Promise<SchemaCache> {
    return this.#current === undefined ? this.reload() : Promise.resolve(this.#current);
  }

  /** Asks the database once more. Whoever comes during a load waits for the next one: theirs may see more. */
  reload(): Promise<SchemaCache> {
    if (this.#loading === undefined) return this.#start();
    this.#next ??= this.#loading.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  #start(): Promise<SchemaCache> {
    this.#next = undefined;
    const loading = this.#load();
    this.#loading = loading;
    return loading;
  }

  async #load(): Promise<SchemaCache> {
    const generation = this.#generation;
    try {
      const loaded = await loadSchemaCache(this.#database, this.#schemas);
      // What changed while we asked may or may not be in it.
      if (generation === this.#generation) this.#current = loaded;
      return loaded;
    } catch (error) {
      throw new RestError({
        status: 503,
        code: "PGRST002",
        message: "Could not query the database for the schema cache. Retrying.",
        details: error instanceof Error ? error.message : null,
      });
    } finally {
      this.#loading = undefined;
    }
  }

  #forget(): void {
    this.#generation += 1;
    this.#current = undefined;
  }
}
