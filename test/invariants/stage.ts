/** What the attacks on the invariants share: the settings of their servers, and a hand on the PostgreSQL under them. */
import pg from "pg";
import { expect, onTestFinished } from "vitest";
import { eventsOf, grows, stateOf } from "../process/client.js";
import type { Scene } from "../process/scene.js";
import { until } from "../support/poll.js";
import type { Env, Server } from "../support/server.js";

/** Milliseconds of the lease of servers with `LEASED`. */
export const LEASE = 3000;
export const LEASED: Env = { HOLDPOINT_LEASE_MS: String(LEASE), HOLDPOINT_HEARTBEAT_MS: "500" };
export const ASYNC = { Prefer: "respond-async" };

/** A connection of the test's own, closed with it. */
export async function connected(scene: Scene): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: scene.env.DATABASE_URL });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

export async function query(scene: Scene, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: scene.env.DATABASE_URL });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

export interface Writes {
  /** From now on every write of a thread waits in the database. */
  hold(): Promise<void>;
  /** Resolves once so many wait. */
  waiting(count: number): Promise<void>;
  release(): Promise<void>;
  /** What the database answered to the writes of this epoch. */
  answered(epoch: number): Promise<string[]>;
}

/** Lets a test hold the writes of threads inside the database, where claims, stops and heartbeats go on, and see their answers. */
export async function writesOf(scene: Scene): Promise<Writes> {
  const client = await connected(scene);
  const { rows } = await client.query<{ name: string; takes: string; names: string }>(
    `SELECT proname AS name, pg_get_function_arguments(oid) AS takes, array_to_string(proargnames, ', ') AS names
      FROM pg_proc WHERE pronamespace = 'holdpoint'::regnamespace AND proname ~ '^write_v[0-9]+$'
      ORDER BY substring(proname FROM '[0-9]+$')::integer DESC LIMIT 1`,
  );
  const [{ name, takes, names } = { name: "", takes: "", names: "" }] = rows;
  await client.query(`
    CREATE TABLE public.answered (epoch bigint, outcome text);
    ALTER FUNCTION holdpoint.${name} RENAME TO write_behind_the_lock;
    CREATE FUNCTION holdpoint.${name}(${takes}) RETURNS jsonb LANGUAGE plpgsql AS $$
    DECLARE
      answer jsonb;
    BEGIN
      PERFORM pg_advisory_xact_lock_shared(11);
      answer := holdpoint.write_behind_the_lock(${names});
      INSERT INTO public.answered VALUES (v_epoch, answer->>'outcome');
      RETURN answer;
    END $$`);
  return {
    hold: async () => {
      await client.query("SELECT pg_advisory_lock(11)");
    },
    waiting: async (count) => {
      await until(`${count} writes wait in the database`, async () => {
        const found = await client.query(
          `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
        );
        return found.rows.length >= count;
      });
    },
    release: async () => {
      await client.query("SELECT pg_advisory_unlock(11)");
    },
    answered: async (epoch) => {
      const found = await client.query<{ outcome: string }>(
        "SELECT outcome FROM public.answered WHERE epoch = $1",
        [epoch],
      );
      return found.rows.map(({ outcome }) => outcome);
    },
  };
}

/** Waits until every server has beaten for so long after now. */
export async function beatsPast(scene: Scene, ms: number): Promise<void> {
  const [now] = await query(scene, `SELECT (clock_timestamp() + interval '${ms} ms')::text AS past`);
  await until(`every server has beaten ${ms} ms from now`, async () => {
    const late = await query(
      scene,
      `SELECT id FROM holdpoint.worker WHERE beat_at < '${String(now?.past)}'::timestamptz`,
    );
    return late.length === 0;
  });
}

/** The thread went through the graph "line" once: each step committed once, one end, by the server with this process id. */
export async function expectLineOnce(server: Server, thread: string, by: number): Promise<void> {
  expect(await stateOf(server, thread)).toMatchObject({ log: ["FIRST", "SLOW", "LAST"], by });
  const events = await eventsOf(server, thread);
  expect(grows(events)).toBe(true);
  expect(events.filter(({ type }) => type === "update").map(({ data }) => data.data.step)).toEqual([1, 2, 3]);
  expect(events.filter(({ type }) => ["end", "failed", "stopped"].includes(type))).toHaveLength(1);
  expect(events.at(-1)?.type).toBe("end");
}
