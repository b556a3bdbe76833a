import type { Pool } from "pg";
import { HoldpointError } from "../../errors.js";
import type { Database } from "./database.js";
import { fromDatabase, isUnstorable } from "./sqlstate.js";

export interface PgOptions {
  readonly url: string;
  /** Leads past a pooler to PostgreSQL itself: only there can be listened. Default `url`. */
  readonly directUrl?: string;
  /** Connections at the most. Default 10. */
  readonly poolSize?: number;
  /** Milliseconds to wait at the start for a database that is not there yet. */
  readonly waitMs: number;
  readonly onWait?: (message: string) => void;
}

/** int8 as a number: seqs and sizes stay far below 2^53. */
const INT8 = 20;

/** A PostgreSQL server, by `pg`. */
export class PgDatabase implements Database {
  readonly isExclusive = false;
  readonly directUrl: string;
  describe: string;
  readonly #options: PgOptions;
  #pool: Pool | null = null;

  constructor(options: PgOptions) {
    this.#options = options;
    this.directUrl = options.directUrl ?? options.url;
    const { host, pathname } = new URL(options.url);
    this.describe = `PostgreSQL at ${host}${pathname}`;
  }

  async open(): Promise<void> {
    const { default: pg } = await import("pg");
    const types = new pg.TypeOverrides();
    types.setTypeParser(INT8, Number);
    this.#pool = new pg.Pool({
      connectionString: this.#options.url,
      max: this.#options.poolSize ?? 10,
      connectionTimeoutMillis: 5000,
      types,
    });
    // An idle connection that breaks is replaced; without a listener it would end the process.
    this.#pool.on("error", () => undefined);
    await this.#waitUntilThere();
  }

  async close(): Promise<void> {
    const pool = this.#pool;
    this.#pool = null;
    await pool?.end();
  }

  async query<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    try {
      return (await this.#connected().query<Row>(sql, [...values])).rows;
    } catch (error) {
      if (isUnstorable(error)) return [];
      throw fromDatabase(error, this.describe);
    }
  }

  async exclusively<T>(
    lock: number,
    work: (run: (sql: string, values?: readonly unknown[]) => Promise<object[]>) => Promise<T>,
  ): Promise<T> {
    const client = await this.#connected().connect();
    let failed: Error | undefined;
    try {
      await client.query("BEGIN");
      await client.query("SELECT pg_advisory_xact_lock($1)", [lock]);
      const result = await work(async (sql, values) => {
        const answer = await client.query<object>(sql, values === undefined ? undefined : [...values]);
        return Array.isArray(answer) ? [] : answer.rows;
      });
      await client.query("COMMIT");
      return result;
    } catch (error) {
      failed = error instanceof Error ? error : new Error(String(error));
      // A rollback that fails must not hide the first error; the connection is thrown away either way.
      await client.query("ROLLBACK").catch(() => undefined);
      throw fromDatabase(error, this.describe);
    } finally {
      client.release(failed);
    }
  }

  #connected(): Pool {
    if (this.#pool === null) throw new HoldpointError("database_unavailable", `${this.describe} is closed`);
    return this.#pool;
  }

  /** A database that is still starting is waited for; a wrong password is not. */
  async #waitUntilThere(): Promise<void> {
    const until = Date.now() + this.#options.waitMs;
    for (let pause = 100; ; pause = Math.min(pause * 2, 2000)) {
      try {
        const [row] = await this.query<{ version: string }>(
          "SELECT current_setting('server_version') AS version",
        );
        this.describe = this.describe.replace(
          /^PostgreSQL( [\d.]+)?/,
          `PostgreSQL ${row?.version.split(" ")[0] ?? ""}`,
        );
        return;
      } catch (error) {
        const away = error instanceof HoldpointError && error.code === "database_unavailable";
        const late = Date.now() + pause > until;
        if (!away || late) {
          await this.close();
          const detail = error instanceof Error ? error.message : String(error);
          const waited = away
            ? ` It was waited for ${this.#options.waitMs} ms (HOLDPOINT_DATABASE_WAIT_MS).`
            : "";
          throw new HoldpointError(
            "database_unavailable",
            `Cannot use DATABASE_URL: ${detail}.${waited} Start the database or correct DATABASE_URL; without it Holdpoint uses its embedded database.`,
            {},
            { cause: error },
          );
        }
        this.#options.onWait?.(error.message);
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }
}
