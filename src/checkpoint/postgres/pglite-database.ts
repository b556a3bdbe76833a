import { openAsBlob } from "node:fs";
import { access, mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { PGlite } from "@electric-sql/pglite";
import { HoldpointError, StorageClosed } from "../../errors.js";
import { lockDataDir, type DataDirLock } from "./data-dir-lock.js";
import type { Database } from "./database.js";
import { isUnstorable } from "./sqlstate.js";

export interface PgliteOptions {
  /** The folder; null keeps everything in memory. */
  readonly dataDir: string | null;
  /** Milliseconds between two looks at whether the database wants its housekeeping. Default 30 000. */
  readonly housekeepingMs?: number;
  /** A database to begin with, as `dumpDataDir` gave it: saves the seconds of a first start. */
  readonly loadDataDir?: Blob;
  readonly onFirstStart?: () => void;
}

/**
 * A fresh database, packed by the build. Making one instead takes seconds and about 0.4 GB of memory more: a second copy of
 * PostgreSQL runs for it. Sources that run without a build have none and make it.
 */
const FRESH = new URL("../../embedded.tgz", import.meta.url);

/** Writes between two ANALYZE: nobody else keeps the planner's figures here. */
const ANALYZE_AFTER = 2000;

/**
 * The embedded database: PostgreSQL compiled to WebAssembly, in this process. One connection, one statement at a time. It
 * survives kill -9; it does not fsync, so a power cut may lose the last moments.
 */
export class PgliteDatabase implements Database {
  /** The lock on its folder proves that whoever used it before is gone. */
  readonly isExclusive = true;
  readonly directUrl = null;
  readonly describe: string;
  readonly #options: PgliteOptions;
  #db: PGlite | null = null;
  #lock: DataDirLock | null = null;
  #timer: NodeJS.Timeout | null = null;
  #statements = 0;
  #analyzed = 0;
  #checkpointed = 0;

  constructor(options: PgliteOptions) {
    this.#options = options;
    this.describe =
      options.dataDir === null
        ? "embedded, in memory"
        : `embedded, in ${options.dataDir} (for development and single machines)`;
  }

  async open(prepare: () => Promise<void>): Promise<void> {
    const { dataDir, housekeepingMs = 30_000 } = this.#options;
    try {
      if (dataDir !== null) {
        await mkdir(dataDir, { recursive: true });
        this.#lock = await lockDataDir(resolve(dataDir));
      }
      this.#db = await (dataDir === null ? this.#create() : this.#openFolder(resolve(dataDir)));
    } catch (error) {
      await this.#lock?.release();
      this.#lock = null;
      if (error instanceof HoldpointError) throw error;
      const detail = error instanceof Error ? error.message : String(error);
      throw new HoldpointError(
        "database_unavailable",
        `The embedded database in ${dataDir ?? "memory"} does not open: ${detail}`,
        {},
        { cause: error },
      );
    }
    try {
      await prepare();
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#timer = setInterval(() => void this.#housekeeping().catch(() => undefined), housekeepingMs);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    const db = this.#db;
    this.#db = null;
    await db?.close();
    await this.#lock?.release();
    this.#lock = null;
  }

  async query<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const db = this.#opened();
    const rows = await db.query<Row>(sql, [...values]).then(
      (answer) => answer.rows,
      (error: unknown) => {
        if (isUnstorable(error)) return [];
        throw error;
      },
    );
    this.#statements++;
    // A chain of awaited statements would never let timers and sockets have their turn.
    await new Promise((resolve) => setImmediate(resolve));
    return rows;
  }

  heard(): void {
    // There is nobody to hear.
  }

  exclusively<T>(
    _lock: number,
    work: (run: (sql: string, values?: readonly unknown[]) => Promise<object[]>) => Promise<T>,
  ): Promise<T> {
    // One connection, one transaction at a time: that is the lock.
    return this.#opened().transaction((tx) =>
      work(async (sql, values) => {
        if (values !== undefined) return (await tx.query<object>(sql, [...values])).rows;
        await tx.exec(sql);
        return [];
      }),
    );
  }

  /** The database as it is now, to begin others with. */
  async dump(): Promise<Blob> {
    return this.#opened().dumpDataDir("none");
  }

  #opened(): PGlite {
    if (this.#db === null) throw new StorageClosed("the embedded database");
    return this.#db;
  }

  async #openFolder(dataDir: string): Promise<PGlite> {
    const folder = join(dataDir, "db");
    // Stands beside a database that is not whole yet: whoever finds it came after a kill, and begins again.
    const unfinished = join(dataDir, "unfinished");
    if (await exists(unfinished)) await rm(folder, { recursive: true, force: true });
    if (await exists(join(folder, "PG_VERSION"))) {
      const { PGlite } = await import("@electric-sql/pglite");
      return PGlite.create({ dataDir: folder });
    }
    this.#options.onFirstStart?.();
    await writeFile(unfinished, "");
    const db = await this.#create(folder);
    await rm(unfinished);
    return db;
  }

  async #create(folder?: string): Promise<PGlite> {
    const { PGlite } = await import("@electric-sql/pglite");
    const fresh = this.#options.loadDataDir ?? ((await exists(FRESH)) ? await openAsBlob(FRESH) : undefined);
    return PGlite.create({
      ...(folder === undefined ? {} : { dataDir: folder }),
      ...(fresh === undefined ? {} : { loadDataDir: fresh }),
    });
  }

  /** There is no background process here: without a CHECKPOINT the write-ahead log grows to gigabytes. */
  async #housekeeping(): Promise<void> {
    const db = this.#db;
    if (db === null || this.#statements === this.#checkpointed) return;
    this.#checkpointed = this.#statements;
    await db.exec("CHECKPOINT");
    if (this.#statements - this.#analyzed < ANALYZE_AFTER) return;
    this.#analyzed = this.#statements;
    await db.exec("VACUUM ANALYZE");
  }
}

function exists(path: string | URL): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
