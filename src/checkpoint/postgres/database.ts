export interface QueryOptions {
  /** Of a statement that is sent often: it is parsed and planned once a connection, where connections are known to last. */
  readonly name?: string;
  /** By a connection that no other statement can hold up. */
  readonly urgent?: boolean;
  /** Milliseconds after which the statement counts as lost, where that is less than the database's own setting. */
  readonly timeoutMs?: number;
}

/** What the adapter needs of a database: PostgreSQL by `pg`, or the embedded one. Values only as `$n`. */
export interface Database {
  /** For people: which database it is. */
  readonly describe: string;
  /**
   * Connects, then does `prepare`, which may be begun again where the database went away in its middle. Throws HoldpointError
   * `database_unavailable` where it cannot, and what `prepare` throws; then nothing is left open.
   */
  open(prepare: () => Promise<void>): Promise<void>;
  /** Ends what is under way, a waiting `open` too. */
  close(): Promise<void>;
  /**
   * One statement. A database that does not answer, or answers that it cannot work now, throws HoldpointError
   * `database_unavailable`: whether the statement was done is then not known. `StorageClosed` after `close`.
   */
  query<Row extends object>(sql: string, values?: readonly unknown[], of?: QueryOptions): Promise<Row[]>;
  /** Several statements without values, in one transaction that holds `lock`; rolled back where `work` throws. */
  exclusively<T>(
    lock: number,
    work: (run: (sql: string, values?: readonly unknown[]) => Promise<object[]>) => Promise<T>,
  ): Promise<T>;
  /** Where other processes can be heard, by LISTEN; null where there can be none. */
  readonly directUrl: string | null;
  /** Told that what is sent by `query` is heard by LISTEN at `directUrl`. */
  heard(): void;
  /** No other process can be using this database: whoever beat in it before is dead. */
  readonly isExclusive: boolean;
}
