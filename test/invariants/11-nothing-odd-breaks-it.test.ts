/** Sizes, numbers and depths that JSON can carry and programs stumble over, sent to a server whose bodies may be large. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { get, post } from "../process/client.js";
import { newScene, type Scene } from "../process/scene.js";
import type { Server } from "../support/server.js";
import { query } from "./stage.js";

const KEEPS = `
export const keeps = new StateGraph({ state: z.object({ value: z.unknown(), echo: z.unknown() }) })
  .addNode("ECHO", ({ value }) => ({ echo: value, messages: [{ role: "assistant", content: typeof value === "string" ? value : "other" }] }))
  .addEdge(START, "ECHO").addEdge("ECHO", END)
  .compile({ name: "keeps" });
`;
/** Bodies of that size keep a small machine busy for longer than a short lease. */
const LARGE = { HOLDPOINT_BODY_LIMIT: "67108864", HOLDPOINT_LEASE_MS: "60000" };
const TEN_MB = 10 * 1024 * 1024;

const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The number of rows of every table; the servers' heartbeats and timers aside, which go on by themselves. */
async function rows(scene: Scene): Promise<Record<string, unknown>> {
  const tables = await query(
    scene,
    "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'holdpoint' AND tablename NOT IN ('worker', 'timer') ORDER BY 1",
  );
  const counted = await Promise.all(
    tables.map(async ({ name }) => {
      const [found] = await query(scene, `SELECT count(*)::integer AS count FROM holdpoint.${String(name)}`);
      return [String(name), found?.count] as const;
    }),
  );
  return Object.fromEntries(counted);
}

/** A body as text: what no program would write, but the wire can carry. */
const raw = async (
  server: Server,
  thread: string,
  value: string,
): Promise<{ status: number; code: unknown }> => {
  const answer = await fetch(`${server.url}/threads/${thread}/run`, {
    method: "POST",
    body: `{"input":{"value":${value}}}`,
  });
  return { status: answer.status, code: ((await answer.json()) as { code?: unknown }).code };
};

describe("Invariant 11: nothing odd breaks it", () => {
  test.each([
    ["plain", "0123456789abcdef"],
    ["full of quotes and backslashes", '"\\'],
  ])(
    "a string of 10 MB, %s, is in state, message and log as it came, for another server too",
    async (_what, of) => {
      const scene = await newScene("postgres", KEEPS);
      const [one, two] = [await scene.start(LARGE), await scene.start(LARGE)];
      const value = of.repeat(TEN_MB / of.length);
      const run = await post(one, "/threads/t1/run", { input: { value } });
      expect(run).toMatchObject({ status: 200, body: { status: "completed" } });
      const { state } = (await get(two, "/threads/t1/state")).body;
      expect([digest(state.value as string), digest(state.echo as string)]).toEqual([
        digest(value),
        digest(value),
      ]);
      const [message] = (await get(two, "/threads/t1/messages")).body.items;
      expect(digest(message.content as string)).toBe(digest(value));
    },
  );

  test("numbers, and digits in strings, are stored as they came", async () => {
    const scene = await newScene("postgres", KEEPS);
    const one = await scene.start(LARGE);
    const whole =
      "9007199254740991,-9007199254740991,9007199254740992,1152921504606847000,100000000000000000000";
    const sent = `[${whole},1e+21,1.5e+300,0.1,-2.5e-300,"9007199254740993","\\",9007199254740993\\\\",{"9007199254740993":1}]`;
    expect(await raw(one, "t1", sent)).toMatchObject({ status: 200 });
    const state = await (await fetch(`${one.url}/threads/t1/state`)).text();
    expect(state).toContain(`"state":{"value":${sent},"echo":${sent}`);
    // A float has the digits that a float has.
    expect(await raw(one, "t2", "[1.0, 12345678901234567.25, 3.14159265358979323846]")).toMatchObject({
      status: 200,
    });
    // Who reads what a node wrote may send it back.
    expect(await raw(one, "t3", "1000000000000000000000000000000")).toMatchObject({ status: 200 });
  });

  test.each([
    ["a number beyond all numbers", "1e400"],
    ["a number below all numbers", "-1e400"],
    ["an integer with more digits than are kept", "9007199254740993"],
    ["an id of 64 bits among strings", '["9007199254740992", "\\\\", 9223372036854775807]'],
    ["200 000 levels", `${"[".repeat(200_000)}${"]".repeat(200_000)}`],
  ])("%s is refused with a 4xx before anything is written", async (_what, text) => {
    const scene = await newScene("postgres", KEEPS);
    const one = await scene.start(LARGE);
    const before = await rows(scene);
    const answer = await raw(one, "t1", text);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(answer.code).toEqual(expect.any(String));
    expect(await rows(scene)).toEqual(before);
    expect((await get(one, "/threads/t1")).status).toBe(404);
    expect((await get(one, "/readyz")).status).toBe(200);
  });
});
