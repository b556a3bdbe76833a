/**
 * Recorded runs: today's engine does what it did when they were recorded, and goes on from where threads stood then. How to
 * record is in scripts/record-golden.mjs.
 */
import { InMemoryCheckpointer } from "holdpoint";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Runtime } from "../../src/runs/index.js";
import { createLogger } from "../../src/telemetry/index.js";
import { embeddedCheckpointer } from "../support/databases.js";
import { CASES } from "./cases.js";
import { normalised, play, promised, renamed, type Recording } from "./record.js";
import { restore } from "./restore.js";

const FOLDER = join(import.meta.dirname, "recorded");
const ADAPTERS = ["memory", "embedded"] as const;
const runtimes = new Map<string, Runtime>();

beforeAll(async () => {
  const log = createLogger("silent", false);
  runtimes.set("memory", new Runtime({ checkpointer: new InMemoryCheckpointer(), log }));
  runtimes.set("embedded", new Runtime({ checkpointer: await embeddedCheckpointer(), log }));
  for (const runtime of runtimes.values()) await runtime.start();
});
afterAll(async () => {
  for (const runtime of runtimes.values()) {
    await runtime.drain(2000);
    await runtime.close();
  }
});

it("each case has its recording, and each recording its case", () => {
  expect(readdirSync(FOLDER).sort()).toEqual(
    Object.keys(CASES)
      .map((name) => `${name}.json`)
      .sort(),
  );
});

describe.each(Object.entries(CASES))("%s", (name, of) => {
  const file = join(FOLDER, `${name}.json`);
  const recording = (existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { turns: [] }) as Recording;

  it("does today what it did when it was recorded", async () => {
    expect(recording.turns.map(({ action }) => action)).toEqual(of.actions);
    const turns = normalised(await play(of));
    expect(turns.map(promised)).toEqual(recording.turns.map(promised));
    // Positions are what later builds must read: a new shape is a promise to read both.
    expect(turns.map(({ stored }) => stored?.snapshot)).toEqual(
      recording.turns.map(({ stored }) => stored?.snapshot),
    );
  });

  const pauses = recording.turns.flatMap(({ stored }, i) =>
    stored === undefined ? [] : [{ turn: i + 1, stored }],
  );

  it.each(pauses.flatMap((pause) => ADAPTERS.map((adapter) => ({ ...pause, adapter }))))(
    "goes on from where it stood behind turn $turn, in $adapter storage, to the same end",
    async ({ turn, stored: recorded, adapter }) => {
      const runtime = runtimes.get(adapter);
      if (runtime === undefined) throw new Error(`there is no runtime on ${adapter}`);
      const { ref, stored } = renamed(recorded);
      await restore(runtime.checkpointer, ref, stored);
      const turns = await play(of, { runtime, ref, turn });
      expect(turns.map(promised)).toEqual(recording.turns.slice(turn).map(promised));
    },
  );
});
