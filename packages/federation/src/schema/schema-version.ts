/** The `schema_version()` of the database that this library works with; another one is refused at `initialize()`. */
export const schemaVersion = 1;
