import { setTimeout as sleep } from "node:timers/promises";
import type { Pool, PoolConfig, Query, QueryConfig } from "pg";
import { HoldpointError, isAway, StorageClosed, StorageUnusable } from "../../errors.js";
import type { Database, QueryOptions } from "./database.js";
import { fromDatabase, hasMetAnother, isUnstorable, knowsNoName } from "./sqlstate.js";

export interface PgOptions {
  readonly url: string;
  /** Leads past a pooler to PostgreSQL itself: only there can be listened. Default `url`. */
  readonly directUrl?: string;
  /** Connections for requests and runs at the most; the heartbeat has one of its own beside them. Default 10. */
  readonly poolSize?: number;
  /** Milliseconds after which a statement without an answer counts as lost. Default 30 000. */
  readonly queryTimeoutMs?: number;
  /** Milliseconds to wait at the start for a database that is not there yet. */
  readonly waitMs: number;
  readonly onWait?: (message: string) => void;
}

/** int8 as a number: seqs and sizes stay far below 2^53. */
const INT8 = 20;

/** Milliseconds to wait for a connection: a new one, or one of a pool that is full. */
const CONNECT_MS = 5000;

/** How often a transaction that met another is tried; each time one of those that met got through. */
const TRIES = 8;

/** Milliseconds until it is tried again. */
const pauseMs = (tries: number): number => Math.random() * 10 * 2 ** tries;

/** Milliseconds that a close waits for what is under way. */
const CLOSE_MS = 3000;

/** As `pg` takes it. */
interface Statement {
  readonly name: string | undefined;
  readonly text: string;
  readonly values: unknown[];
  readonly query_timeout: number;
}

/** A PostgreSQL server, by `pg`. */
export class PgDatabase implements Database {
  readonly isExclusive = false;
  readonly directUrl: string;
  describe: string;
  readonly #options: PgOptions;
  #pool: Pool | null = null;
  #Query: typeof Query | null = null;
  /** One connection that runs and requests cannot use up. */
  #urgent: Pool | null = null;
  /** It has let us in once. */
  #wasThere = false;
  /**
   * Statements may have names: what is prepared on a connection stays there. Behind a pooler in transaction mode it does not,
   * nor is anything heard there.
   */
  #names = false;

  constructor(options: PgOptions) {
    this.#options = options;
    this.directUrl = options.directUrl ?? options.url;
    const { host, pathname } = new URL(options.url);
    this.describe = `PostgreSQL at ${host}${pathname}`;
  }

  async open(prepare: () => Promise<void>): Promise<void> {
    const { default: pg } = await import("pg");
    this.#Query = pg.Query;
    const types = new pg.TypeOverrides();
    types.setTypeParser(INT8, Number);
    const config: PoolConfig = {
      connectionString: this.#options.url,
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      types,
    };
    this.#pool = new pg.Pool({ ...config, max: this.#options.poolSize ?? 10 });
    this.#urgent = new pg.Pool({ ...config, max: 1 });
    // An idle connection that breaks is replaced; without a listener it would end the process.
    for (const pool of [this.#pool, this.#urgent]) pool.on("error", () => undefined);
    await this.#waitUntilThere(prepare);
    this.#wasThere = true;
  }

  async close(): Promise<void> {
    const pools = [this.#pool, this.#urgent];
    this.#pool = this.#urgent = null;
    // A connection in use is waited for, but not for ever: its database may never answer.
    const timeout = new AbortController();
    const late = sleep(CLOSE_MS, undefined, { signal: timeout.signal, ref: false }).catch(() => undefined);
    await Promise.race([Promise.all(pools.map(async (pool) => pool?.end())), late]);
    timeout.abort();
  }

  heard(): void {
    this.#names = this.directUrl === this.#options.url;
  }

  query<Row extends object>(
    sql: string,
    values: readonly unknown[] = [],
    { urgent = false, timeoutMs, name }: QueryOptions = {},
  ): Promise<Row[]> {
    const usual = this.#options.queryTimeoutMs ?? 30_000;
    const statement: Statement = {
      name: this.#names ? name : undefined,
      text: sql,
      values: [...values],
      query_timeout: Math.min(timeoutMs ?? usual, usual),
    };
    return this.#send(statement, urgent);
  }

  /** Sends a statement, and again where nothing of it was done: it met another transaction, or its name is not known there. */
  async #send<Row extends object>(statement: Statement, urgent: boolean, tries = 1): Promise<Row[]> {
    try {
      return (await this.#connected(urgent).query<Row>(this.#queryOf(statement))).rows;
    } catch (error) {
      if (statement.name !== undefined && knowsNoName(error)) {
        this.#names = false;
        return this.#send({ ...statement, name: undefined }, urgent, tries);
      }
      if (hasMetAnother(error) && tries < TRIES) {
        await sleep(pauseMs(tries));
        return this.#send(statement, urgent, tries + 1);
      }
      if (isUnstorable(error)) return [];
      throw this.#fault(error);
    }
  }

  /** Made here: `pg` copies a statement before it makes one of it, member by member, which takes longer than all else of it. */
  #queryOf(statement: Statement): QueryConfig {
    if (this.#Query === null) throw new StorageClosed(this.describe);
    return Object.assign(new this.#Query(statement.text, statement.values), statement);
  }

  async exclusively<T>(
    lock: number,
    work: (run: (sql: string, values?: readonly unknown[]) => Promise<object[]>) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#untilAlone(() => this.#transaction(lock, work));
    } catch (error) {
      throw this.#fault(error);
    }
  }

  async #transaction<T>(lock: number, work: Parameters<typeof this.exclusively<T>>[1]): Promise<T> {
    const client = await this.#connected().connect();
    let failed: Error | undefined;
    const onError = (error: Error): void => void (failed ??= error);
    // One that breaks between two statements has nobody else to tell.
    client.on("error", onError);
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
      throw error;
    } finally {
      client.removeListener("error", onError);
      client.release(failed);
    }
  }

  /** Tries what met another transaction again: nothing of it was done. */
  async #untilAlone<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (!hasMetAnother(error) || tries >= TRIES) throw error;
        await sleep(pauseMs(tries));
      }
    }
  }

  #fault(error: unknown): unknown {
    return this.#pool === null
      ? new StorageClosed(this.describe)
      : fromDatabase(error, this.describe, this.#wasThere);
  }

  #connected(urgent = false): Pool {
    const pool = urgent ? this.#urgent : this.#pool;
    if (pool === null) throw new StorageClosed(this.describe);
    return pool;
  }

  /** A database that is still starting is waited for; a wrong password is not. */
  async #waitUntilThere(prepare: () => Promise<void>): Promise<void> {
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
        await prepare();
        return;
      } catch (error) {
        if (error instanceof StorageUnusable) {
          await this.close();
          throw error;
        }
        const away = isAway(error);
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
        this.#options.onWait?.(error instanceof Error ? error.message : "");
        await sleep(pause);
      }
    }
  }
}
