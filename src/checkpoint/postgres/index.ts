export { PgCheckpointer, type PgCheckpointerOptions } from "./pg-checkpointer.js";
export { PgliteDatabase } from "./pglite-database.js";
