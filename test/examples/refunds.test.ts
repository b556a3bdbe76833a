import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InMemoryCheckpointer, RunError } from "holdpoint";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { refunds } from "../../examples/refunds.js";

const LARGE = "Order 1042 arrived broken, I want my 129.90 back";

let folder: string;
let threadId: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "refunds-"));
  threadId = `refunds-${crypto.randomUUID()}`;
  vi.stubEnv("REFUNDS_LEDGER", join(folder, "ledger.ndjson"));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const say = (...messages: string[]) => refunds.invoke({ messages }, { threadId });

async function ledger(): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(folder, "ledger.ndjson"), "utf8").catch(() => "");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

const words = (result: { messages: readonly { content: unknown }[] }) => result.messages.at(-1)?.content;

describe("reading a message", () => {
  it.each([
    [LARGE, "1042", 129_90],
    ["order #1042: refund EUR 129,90 please", "1042", 129_90],
    ["Please give me $129.90 for order 1042.", "1042", 129_90],
    ["I was charged 1,299.00 twice, order no. 77", "77", 1299_00],
    ["Refund of 1.299,00 € for order number 77!", "77", 1299_00],
    ["Hi, #5531 never came. That was $20", "5531", 20_00],
    ["my ORDER: 8 cost 49 euros and I do not like it", "8", 49_00],
    ["129.90 back for order 1042, order 1042 was broken, 129.90 it was", "1042", 129_90],
    ["Order 12999 (2 items, bought 3 weeks ago), 12.99", "12999", 12_99],
    ["The order number is 0042 and I paid 15.00USD", "0042", 15_00],
    ["order 129, 129.00", "129", 129_00],
    ["Order 1042 USD 50", "1042", 50_00],
    ["Order 7: $1,299", "7", 1299_00],
    ["order id 7\n- 0.99", "7", 99],
  ])("%j", async (message, order, amountCents) => {
    expect((await say(message)).state).toMatchObject({ order, amountCents });
  });

  it.each([
    ["neither", "Where is my money?"],
    ["no amount", "Order 1042 arrived broken, all 3 parts of it"],
    ["no order", "I want my 129.90 back"],
    ["an amount where the order should be", "I want my order 129.90 back"],
    ["two amounts", "Order 1042: I paid 129.90 and 30.00, give it back"],
    ["two orders", "Orders: order 1042 and order 1043, 20.00 please"],
    ["a date is no amount", "Order 1042 of 12.05.2024, I want all back"],
    ["nothing to pay", "Order 1042, $0.00"],
    ["a number without end", "Order 1042, $99999999999999999999"],
    ["an empty message", ""],
  ])("asks where there is %s", async (_what, message) => {
    const result = await say(message);
    expect(result).toMatchObject({ status: "completed", state: { order: "", amountCents: 0 } });
    expect(result.messages.at(-1)).toMatchObject({ role: "assistant" });
    expect(words(result)).toMatch(/order's number and the amount/);
    expect(await ledger()).toEqual([]);
  });
});

describe("a small refund", () => {
  it("is paid at once, up to and with 50.00", async () => {
    const result = await say("Order 7, 50.00");
    expect(result.status).toBe("completed");
    expect(words(result)).toBe("Done: 50.00 for order 7 is on its way to you.");
    expect(await ledger()).toEqual([
      {
        order: "7",
        amount_cents: 50_00,
        key: expect.any(String),
        approved_by: null,
        at: expect.stringMatching(/^\d{4}-.*Z$/),
      },
    ]);
  });

  it("is held from 50.01 on", async () => {
    expect((await say("Order 7, 50.01")).status).toBe("interrupted_before");
    expect(await ledger()).toEqual([]);
  });

  it("is not paid without a person where somebody made it large meanwhile", async () => {
    vi.stubEnv("REFUNDS_LEDGER", join(folder, "missing", "ledger.ndjson"));
    await expect(say("Order 7, 20.00")).rejects.toThrow(/ENOENT/);
    await refunds.updateState({ amountCents: 500_00 }, { threadId });

    vi.stubEnv("REFUNDS_LEDGER", join(folder, "ledger.ndjson"));
    await expect(refunds.resume({}, { threadId })).rejects.toThrow(/only if a person approves/);
    expect(await ledger()).toEqual([]);
  });

  it("is not paid again by a run that brings no new message", async () => {
    await say("Order 7, 20.00");
    expect(words(await refunds.invoke({}, { threadId }))).toMatch(/Gladly/);
    expect(await ledger()).toHaveLength(1);
  });
});

describe("a large refund", () => {
  it("waits, and says what for", async () => {
    const result = await say(LARGE);
    expect(result).toMatchObject({ status: "interrupted_before", nextNodes: ["PAY_LARGE"] });
    expect(result.interrupts).toMatchObject([
      {
        kind: "before",
        node: "PAY_LARGE",
        message: "Refund 129.90 for order 1042?",
        data: { order: "1042", amount: "129.90" },
      },
    ]);
    expect(await ledger()).toEqual([]);
  });

  it("is paid once when it is approved, and says by whom", async () => {
    const interruptId = (await say(LARGE)).interrupts[0]?.id;
    const approve = () => refunds.resume({ interruptId, decision: "approve" }, { threadId, by: "alice" });

    const result = await approve();
    expect(result).toMatchObject({ status: "completed", decision: { decision: "approve", by: "alice" } });
    expect(words(result)).toBe("Done: 129.90 for order 1042 is on its way to you.");
    await approve();
    expect(await ledger()).toMatchObject([{ order: "1042", amount_cents: 129_90, approved_by: "alice" }]);
  });

  it("is paid as the person corrected it", async () => {
    await say(LARGE);
    await refunds.resume({ decision: "edit", state: { amountCents: 99_90 } }, { threadId, by: "alice" });
    expect(await ledger()).toMatchObject([{ order: "1042", amount_cents: 99_90 }]);
  });

  it("is not paid when it is denied, and the customer hears why", async () => {
    await say(LARGE);
    const result = await refunds.resume({ decision: "deny", reason: "no photo of the damage" }, { threadId });
    expect(result).toMatchObject({ status: "completed", decision: { decision: "deny" } });
    expect(words(result)).toBe("I am sorry, we cannot refund 129.90 for order 1042: no photo of the damage.");
    expect(await ledger()).toEqual([]);
  });

  it("is not paid when it is denied without a reason", async () => {
    await say(LARGE);
    expect(words(await refunds.resume({ decision: "deny" }, { threadId }))).toBe(
      "I am sorry, we cannot refund 129.90 for order 1042.",
    );
    expect(await ledger()).toEqual([]);
  });

  it("is asked for as it was read and patched, whatever the customer's input says", async () => {
    const held = await refunds.invoke({ messages: [LARGE], amountCents: 1, order: "1" }, { threadId });
    expect(held).toMatchObject({
      status: "interrupted_before",
      state: { order: "1042", amountCents: 129_90 },
    });
    await refunds.updateState({ amountCents: 500_00 }, { threadId });
    expect((await refunds.getState({ threadId })).interrupts).toMatchObject([
      { message: "Refund 500.00 for order 1042?" },
    ]);
    expect(await ledger()).toEqual([]);
  });

  it("is asked again after a stop", async () => {
    await say(LARGE);
    await refunds.stop({ threadId });
    expect(await refunds.resume({}, { threadId })).toMatchObject({
      status: "interrupted_before",
      interrupts: [{ message: "Refund 129.90 for order 1042?" }],
    });
    await refunds.resume({ decision: "approve" }, { threadId });
    expect(await ledger()).toHaveLength(1);
  });
});

describe("paying", () => {
  it("does not pay twice where the process lost the record of the payment", async () => {
    await say(LARGE);
    vi.spyOn(InMemoryCheckpointer.prototype, "record").mockRejectedValueOnce(new Error("the disk is gone"));
    await expect(refunds.resume({ decision: "approve" }, { threadId, by: "alice" })).rejects.toThrow(
      RunError,
    );
    expect(await ledger()).toHaveLength(1);

    const result = await refunds.resume({}, { threadId });
    expect(words(result)).toBe("Done: 129.90 for order 1042 is on its way to you.");
    expect(await ledger()).toHaveLength(1);
  });

  it("goes on after a ledger that could not be written, and still knows who approved", async () => {
    await say(LARGE);
    vi.stubEnv("REFUNDS_LEDGER", join(folder, "missing", "ledger.ndjson"));
    await expect(refunds.resume({ decision: "approve" }, { threadId, by: "alice" })).rejects.toThrow(
      /ENOENT/,
    );

    vi.stubEnv("REFUNDS_LEDGER", join(folder, "ledger.ndjson"));
    expect((await refunds.resume({}, { threadId })).status).toBe("completed");
    expect(await ledger()).toMatchObject([{ order: "1042", approved_by: "alice" }]);
  });

  it("pays each of many customers once", async () => {
    const orders = Array.from({ length: 20 }, (_, i) => String(i + 1));
    await Promise.all(
      orders.map((order) =>
        refunds.invoke({ messages: [`Order ${order}, 10.00`] }, { threadId: `${threadId}-${order}` }),
      ),
    );
    const lines = await ledger();
    expect(lines.map(({ order }) => order).sort()).toEqual(orders.sort());
    expect(new Set(lines.map(({ key }) => key)).size).toBe(orders.length);
  });
});

describe("a second message on the same thread", () => {
  it("is a request of its own, which pays a line of its own", async () => {
    await say(LARGE);
    await refunds.resume({ decision: "approve" }, { threadId, by: "alice" });
    await say("And order 7, 20.00");
    expect(await ledger()).toMatchObject([
      { order: "1042", amount_cents: 129_90, approved_by: "alice" },
      { order: "7", amount_cents: 20_00, approved_by: null },
    ]);
    const [first, second] = await ledger();
    expect(first?.key).not.toBe(second?.key);
  });

  it("inherits nothing from the one before", async () => {
    await say("Order 7, 20.00");
    expect(await say("And now 30.00 more")).toMatchObject({ state: { order: "", amountCents: 0 } });
    expect(await say("For order 8 too")).toMatchObject({ state: { order: "", amountCents: 0 } });
    expect(await ledger()).toHaveLength(1);
  });

  it("gets a decision of its own", async () => {
    await say(LARGE);
    await refunds.resume({ decision: "approve" }, { threadId });
    expect((await say("Order 1043, 129.90")).interrupts).toMatchObject([
      { message: "Refund 129.90 for order 1043?" },
    ]);
    await refunds.resume({ decision: "deny" }, { threadId });
    expect(await ledger()).toMatchObject([{ order: "1042" }]);
  });
});
