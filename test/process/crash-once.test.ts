/** kill -9 in the middle of `ctx.once` results. */
import { describe, expect, test } from "vitest";
import { crash } from "../support/server.js";
import { get, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, line, newScene } from "./scene.js";

const TWO = `
    const receipt = await ctx.once("charge", () => { mark("charged"); return { by: process.pid }; });
    mark("charge " + receipt.by);
    await ctx.once("mail", async () => { mark("mail begun"); await gate("mail"); mark("mailed"); return null; });
    await ctx.once("note", () => { mark("noted"); return false; });
`;

describe.each(DATABASES)("on the %s database", (database) => {
  test("a once result that was stored before a kill -9 is given to the next attempt and not made again", async () => {
    const scene = await newScene(database, line({ slow: TWO }));
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("mail begun", 1, first.pid);
    await crash(first);
    scene.open("mail");
    scene.open("slow");

    const second = await scene.start();
    await threadWhen(second, "t1", "completed");
    expect(scene.count("charged")).toBe(1);
    expect(scene.count(`charge ${first.pid}`)).toBe(2);
    // This one had no result yet: only an idempotency key helps there.
    expect(scene.count("mail begun")).toBe(2);
    expect(scene.count("mailed")).toBe(1);
    expect(scene.count("noted")).toBe(1);
    expect(await stateOf(second, "t1")).toMatchObject({ log: ["FIRST", "SLOW", "LAST"], by: second.pid });
  });

  test("once results whose value is falsy are kept over a kill -9 too", async () => {
    const falsy = ["false", "0", '""', "null", "undefined"];
    const body = falsy
      .map(
        (value, i) =>
          `mark("got " + JSON.stringify(await ctx.once("k${i}", () => { mark("made ${i}"); return ${value}; })));`,
      )
      .join("\n");
    const scene = await newScene(database, line({ slow: `${body} mark("all made");` }));
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("all made");
    await crash(first);
    scene.open("slow");
    const second = await scene.start();
    await threadWhen(second, "t1", "completed");
    for (const i of falsy.keys()) expect(scene.count(`made ${i}`)).toBe(1);
    for (const got of ["false", "0", '""']) expect(scene.count(`got ${got}`)).toBe(2);
    // What JSON keeps of undefined is null, and the first attempt gets that too.
    expect(scene.count("got null")).toBe(4);
  });

  test("the idempotency key of a task is the same after a kill -9, and differs between threads", async () => {
    const scene = await newScene(database, line({ slow: `mark(ctx.threadId + " " + ctx.idempotencyKey);` }));
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    send(first, "/threads/t2/run", { input: {} });
    await scene.marked("SLOW begun", 2);
    const keys = scene.ledger().filter(({ mark }) => /^t[12] /.test(mark));
    expect(new Set(keys.map(({ mark }) => mark.slice(3))).size).toBe(2);
    await crash(first);
    scene.open("slow");
    const second = await scene.start();
    for (const thread of ["t1", "t2"]) await threadWhen(second, thread, "completed");
    for (const { mark } of keys) expect(scene.count(mark)).toBe(2);
    expect((await get(second, "/threads/t1")).body.interrupts).toEqual([]);
  });
});
