/** One payment graph in two others, through a real server. */
import { beforeEach, describe, expect, it } from "vitest";
import { invoice, order } from "../../examples/payments.js";
import { expectJson, expectList, served, unique, type Body } from "../support/http-server.js";

const server = served({ order, invoice });

let thread: string;
beforeEach(() => {
  thread = unique("payments");
});

const run = async (graph: string, text: string): Promise<Body> =>
  expectJson(
    await server.post(`/threads/${thread}/run`, { graph, input: { messages: [text] } }),
    200,
    "result",
  );
const resume = async (answer: object): Promise<Body> =>
  expectJson(await server.post(`/threads/${thread}/resume`, answer), 200, "result");
const words = (result: Body): string => result.messages.at(-1)?.content;

describe("an order", () => {
  it("that is small is paid and shipped, and asks nobody", async () => {
    const result = await run("order", "3 pens");
    expect(result).toMatchObject({ status: "completed", state: { receipts: ["4.50 to the shop"] } });
    expect(words(result)).toBe("Shipped; paid 4.50 to the shop.");
  });

  it("that is large pauses inside the payment, with its path", async () => {
    const held = await run("order", "2 chairs and a lamp");
    expect(held).toMatchObject({
      status: "interrupted_before",
      current_node: "PAY",
      interrupts: [{ graph: "order", path: ["PAYMENT", "PAY"], message: "Pay 218.00 to the shop?" }],
      state: { amountCents: 218_00, receipts: [] },
    });
    expect((await resume({ decision: "approve" })).state.receipts).toEqual(["218.00 to the shop"]);
  });

  it("is paid as the person corrected it; the order's own amount stays", async () => {
    await run("order", "a chair");
    const done = await resume({ decision: "edit", state: { amountCents: 50_00 } });
    expect(done.state).toMatchObject({ amountCents: 89_00, receipts: ["50.00 to the shop"] });
  });

  it("is cancelled by a denial inside, and the thread takes another order", async () => {
    await run("order", "a chair");
    const denied = await resume({ decision: "deny", reason: "too dear" });
    expect(denied).toMatchObject({ status: "completed", state: { receipts: [] } });
    expect(words(denied)).toBe("Cancelled: too dear.");
    expect((await run("order", "a pen")).state.receipts).toEqual(["1.50 to the shop"]);
  });

  it("of nothing is not paid", async () => {
    const result = await run("order", "a boat");
    expect(result).toMatchObject({ status: "completed", state: { receipts: [] } });
    expect(words(result)).toBe("We have chairs, lamps and pens.");
  });
});

describe("an invoice", () => {
  it("pauses inside the same payment, on its own path and in its own words", async () => {
    const held = await run("invoice", "Invoice 2031 of Acme: 420.00");
    expect(held.interrupts).toMatchObject([
      { graph: "invoice", path: ["SETTLE", "PAY"], message: "Pay 420.00 to Acme?" },
    ]);
    const done = await resume({ decision: "approve" });
    expect(done.state).toMatchObject({ total: 420_00, settledBy: "420.00 to Acme" });
    expect(words(done)).toBe("Invoice 2031 is settled: 420.00 to Acme.");
  });

  it("that is denied is disputed", async () => {
    await run("invoice", "Invoice 2031 of Acme: 420.00");
    const denied = await resume({ decision: "deny", reason: "we never ordered that" });
    expect(denied.state.settledBy).toBeNull();
    expect(words(denied)).toBe("Invoice 2031 is disputed: we never ordered that.");
  });

  it("that cannot be read fails inside the payment, by its path, and can be sent again", async () => {
    const failed = await run("invoice", "Pay me!");
    expect(failed).toMatchObject({
      status: "error",
      error: { code: "node_failed", node: "CHECK", path: ["SETTLE", "CHECK"] },
    });
    expect(await run("invoice", "Invoice 7 of Bolt: 12.00")).toMatchObject({
      status: "completed",
      state: { settledBy: "12.00 to Bolt" },
    });
  });
});

it("the inbox tells the two apart", async () => {
  await run("order", "a chair");
  const first = thread;
  thread = unique("payments");
  await run("invoice", "Invoice 1 of Acme: 99.00");
  const { items } = expectList(await server.get("/interrupts"), "interrupt");
  const paths = new Map(items.map(({ thread_id, path }) => [thread_id, path]));
  expect(paths.get(first)).toEqual(["PAYMENT", "PAY"]);
  expect(paths.get(thread)).toEqual(["SETTLE", "PAY"]);
});
