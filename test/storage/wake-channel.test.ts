/** What processes on one PostgreSQL tell each other, and how they find out that they no longer hear. */
import pg from "pg";
import { afterEach, expect, test } from "vitest";
import type { ThreadRef, Wake } from "../../src/checkpoint/checkpointer.js";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { Listener } from "../../src/checkpoint/postgres/listener.js";
import { newPostgresDatabase } from "../support/databases.js";
import { until } from "../support/poll.js";
import { tcpProxy } from "../support/tcp-proxy.js";
import { begin, end, paused, simultaneously, step, stopOf } from "../contract/scenes.js";
import { commitStep, freshRef } from "../contract/writes.js";

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

interface Process {
  readonly cp: PgCheckpointer;
  /** What it was told so far. */
  readonly told: Wake[];
}

/** A process on the database that hears the others. */
async function newProcess(url: string): Promise<Process> {
  const cp = new PgCheckpointer(url);
  const told: Wake[] = [];
  cp.onWake((wake) => told.push(wake));
  opened.push(cp);
  await cp.open();
  await until("it hears", () => cp.hears);
  return { cp, told };
}

async function twoProcesses(): Promise<[Process, Process]> {
  const url = await newPostgresDatabase();
  return [await newProcess(url), await newProcess(url)];
}

const heard = (told: readonly Wake[], kind: Wake["kind"], ref?: ThreadRef): boolean =>
  told.some(
    (wake) =>
      wake.kind === kind && (ref === undefined || ("ref" in wake && wake.ref.threadId === ref.threadId)),
  );

test("commits, stops, deletions and runs that were given up are told to others, not to oneself", async () => {
  const [one, two] = await twoProcesses();
  const [mine, theirs] = [one.told.length, two.told.length];
  expect(two.told.every(({ kind }) => kind === "rescan")).toBe(true);

  const run = await begin(one.cp);
  await until("its start is told", () => heard(two.told, "thread", run.ref));
  await one.cp.requestStop(run.ref, stopOf("now"));
  await until("its stop is told", () => heard(two.told, "stop", run.ref));
  await one.cp.release(run.ref, run.epoch, { inFlight: false });
  await until("that it waits is told", () => heard(two.told, "work"));

  const gone = await begin(one.cp);
  await end(one.cp, gone);
  await until("its end is told", () => heard(two.told, "thread", gone.ref));
  const before = two.told.length;
  await one.cp.remove(gone.ref);
  await until("its deletion is told", () => heard(two.told.slice(before), "thread", gone.ref));

  expect(two.told.slice(theirs).map(({ kind }) => kind)).not.toContain("rescan");
  expect(one.told.slice(mine)).toEqual([]);
});

test("what was refused is not told", async () => {
  const [one, two] = await twoProcesses();
  const waiting = await paused(one.cp);
  const run = await begin(one.cp);
  await until("all until now is told", () => heard(two.told, "thread", run.ref));
  const before = two.told.length;
  await one.cp.write(commitStep({ ...run, epoch: run.epoch - 1 }));
  await one.cp.requestStop(waiting.ref, stopOf("now"));
  await one.cp.release(run.ref, run.epoch - 1, { inFlight: false });
  await step(one.cp, run);
  await until("the step is told", () => heard(two.told.slice(before), "thread", run.ref));
  expect(heard(two.told.slice(before), "thread", waiting.ref)).toBe(false);
  expect(heard(two.told, "stop")).toBe(false);
  expect(heard(two.told, "work")).toBe(false);
});

test("what is told in a short time goes together, and where it is too much others are to look at everything", async () => {
  const [one, two] = await twoProcesses();
  const runs = await simultaneously(80, (i) => begin(one.cp, { ref: longRef(i) }));
  await until("the starts are told", () => two.told.length > 0);
  const before = two.told.length;
  const written = await Promise.all(runs.map((run) => one.cp.write(commitStep(run))));
  expect(written.every(({ outcome }) => outcome === "committed")).toBe(true);
  await until("others are to look at everything", () => heard(two.told.slice(before), "rescan"));

  // What is left of the long ones goes together with what comes meanwhile.
  await until("all of them are told", async () => {
    const at = two.told.length;
    const { ref } = await begin(one.cp);
    await until("a start is told", () => two.told.length > at);
    return heard(two.told, "thread", ref);
  });
  // Short ones fit, and are named.
  const few = await simultaneously(20, () => begin(one.cp));
  await until("each is named", () => few.every(({ ref }) => heard(two.told, "thread", ref)));
});

test("steps are not told where nobody else is there; who comes is seen at once, and finds what was not told", async () => {
  const url = await newPostgresDatabase();
  const one = await newProcess(url);
  const { forget, told } = await overhearing(url);
  const run = await begin(one.cp);
  await until("it is told while nobody knows who is there", () => told(run.ref.threadId));
  // As long as it takes somebody to answer.
  const alone = await until("it is alone", async () => {
    const other = await begin(one.cp);
    await one.cp.release(other.ref, other.epoch, { inFlight: false });
    // Told in any case, and later.
    await until("that work waits is told", () => told(",true,"));
    const isTold = told(other.ref.threadId);
    forget();
    return isTold ? false : other;
  });
  expect(told(alone.ref.threadId)).toBe(false);
  // Nor is the inbox: an interrupt opens.
  forget();
  await paused(one.cp);
  const waits = await begin(one.cp);
  await one.cp.release(waits.ref, waits.epoch, { inFlight: false });
  await until("that work waits is told", () => told(",true,"));
  expect(told(",true,true")).toBe(false);

  const two = await newProcess(url);
  await until(
    "it is to look at everything, twice",
    () => two.told.filter(({ kind }) => kind === "rescan").length > 1,
  );
  const met = await begin(one.cp);
  await until("a start is told to it", () => heard(two.told, "thread", met.ref));
  const back = await begin(two.cp);
  await until("and what it does is told to the other", () => heard(one.told, "thread", back.ref));
});

test("what was told last is sent before the connections are closed", async () => {
  const [one, two] = await twoProcesses();
  const runs = await simultaneously(3, () => begin(one.cp));
  for (const run of runs) await one.cp.release(run.ref, run.epoch, { inFlight: false });
  await one.cp.close();
  await until("the last one is told", () => heard(two.told, "work"));
  expect(runs.every(({ ref }) => heard(two.told, "thread", ref))).toBe(true);
});

test("a connection that carries nothing any more is given up and made anew", async () => {
  const url = await newPostgresDatabase();
  const proxy = await tcpProxy(url);
  const { hearing, payloads } = await listen(proxy.url, url, { pingMs: 50, answerMs: 500 });
  await until("it hears", () => hearing.at(-1) === true);
  const before = proxy.connections();
  proxy.freeze();
  await until("it notices, and hears again", () => hearing.join() === "true,false,true");
  expect(proxy.connections()).toBe(before + 1);
  expect(payloads.length).toBe(2);
});

test("where LISTEN is taken and nothing is delivered, as by a pooler, it does not count as hearing", async () => {
  // Notifications stay in their database: this one is not where they are sent.
  const [elsewhere, url] = [await newPostgresDatabase(), await newPostgresDatabase()];
  const { listener, hearing, reasons } = await listen(elsewhere, url, { answerMs: 200 });
  await until("it says so", () => hearing.length > 0);
  expect(hearing).toEqual([false]);
  expect(reasons[0]).toContain("DATABASE_DIRECT_URL");
  expect(listener.hears).toBe(false);
});

/** Somebody who listens and says nothing: whether any notification since the last `forget` had these words in it. */
async function overhearing(url: string): Promise<{ forget: () => void; told: (words: string) => boolean }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  opened.push({ close: () => client.end() });
  const payloads: string[] = [];
  client.on("notification", ({ payload = "" }) => payloads.push(payload));
  await client.query("LISTEN holdpoint_wake");
  return {
    forget: () => void payloads.splice(0),
    told: (words) => payloads.some((payload) => payload.includes(words)),
  };
}

const longRef = (i: number): ThreadRef => ({
  tenant: freshRef().tenant,
  threadId: `${i}-`.padEnd(128, "ü"),
});

/** A listener at `url`, whose probes go to `home`. */
async function listen(
  url: string,
  home: string,
  of: { pingMs?: number; answerMs?: number },
): Promise<{ listener: Listener; hearing: boolean[]; reasons: (string | null)[]; payloads: string[] }> {
  const client = new pg.Client({ connectionString: home });
  await client.connect();
  const [hearing, reasons, payloads]: [boolean[], (string | null)[], string[]] = [[], [], []];
  const listener = new Listener({
    url,
    channel: "probe",
    probe: async () => {
      await client.query("NOTIFY probe, 'own'");
    },
    onPayload: (payload) => {
      payloads.push(payload);
      return true;
    },
    onHearing: (hears, why) => {
      hearing.push(hears);
      reasons.push(why);
    },
    ...of,
  });
  opened.push(listener, { close: () => client.end() });
  listener.open();
  return { listener, hearing, reasons, payloads };
}
