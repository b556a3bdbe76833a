/** What the adapter needs of a database: PostgreSQL by `pg`, or the embedded one. Values only as `$n`. */
export interface Database {
  /** For people: which database it is. */
  readonly describe: string;
  /** Connects. Throws HoldpointError `database_unavailable` where it cannot. */
  open(): Promise<void>;
  close(): Promise<void>;
  /** One statement. A lost or refused connection throws HoldpointError `database_unavailable`. */
  query<Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Several statements without values, in one transaction that holds `lock`; rolled back where `work` throws. */
  exclusively<T>(
    lock: number,
    work: (run: (sql: string, values?: readonly unknown[]) => Promise<object[]>) => Promise<T>,
  ): Promise<T>;
  /** Where other processes can be heard, by LISTEN; null where there can be none. */
  readonly directUrl: string | null;
  /** No other process can be using this database: whoever beat in it before is dead. */
  readonly isExclusive: boolean;
}
