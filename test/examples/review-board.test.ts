/** The board through a real server: three questions at once, answered by their ids. */
import { beforeEach, expect, it } from "vitest";
import { reviewBoard } from "../../examples/review-board.js";
import { expectJson, served, unique, type Body } from "../support/http-server.js";

const LOUD = "We guarantee 100% uptime!!! The password is hunter2";
const server = served({ "review-board": reviewBoard });

let thread: string;
beforeEach(() => {
  thread = unique("board");
});

const submit = async (text: string): Promise<Body> =>
  expectJson(await server.post(`/threads/${thread}/run`, { input: { messages: [text] } }), 200, "result");
const decide = async (status: number, { id }: Body, answer: object): Promise<Body> =>
  expectJson(await server.post(`/interrupts/${id}/decision`, answer), status, "result");
const words = (result: Body): string => result.messages.at(-1).content;

it("publishes at once what nobody has a concern about", async () => {
  const result = await submit("The new office opens on Monday.");
  expect(result).toMatchObject({ status: "completed", step: 3 });
  expect(result.state.published).toEqual(["The new office opens on Monday."]);
  expect(Object.keys(result.state.opinions)).toEqual(["legal", "security", "style"]);
});

it("asks all questions at once, one a reviewer, in the order in which they are declared", async () => {
  const held = await submit(LOUD);
  expect(held).toMatchObject({ status: "interrupted_before", next_nodes: ["LEGAL", "SECURITY", "STYLE"] });
  expect(held.interrupts.map(({ node, data }: Body) => [node, data.reviewer])).toEqual([
    ["LEGAL", "legal"],
    ["SECURITY", "security"],
    ["STYLE", "style"],
  ]);
});

it("asks only those who have a concern; the others' opinions wait beside the state", async () => {
  const held = await submit("Really?! Yes.");
  expect(held.interrupts.map(({ message }: Body) => message)).toEqual(['Is this how we speak: "?!"']);
  expect(held.state.opinions).toEqual({});
  const state = expectJson(await server.get(`/threads/${thread}/state`), 200, "state");
  expect(state.pending).toEqual(["LEGAL", "SECURITY"]);
});

it.each([
  ["first to last", [0, 1, 2]],
  ["last to first", [2, 1, 0]],
])("decides when the last of them is answered, %s", async (_order, order) => {
  const { interrupts } = await submit(LOUD);
  const [first, second, third] = order.map((i) => interrupts[i]);
  expect(await decide(202, first, { decision: "approve" })).toMatchObject({ status: "interrupted_before" });
  expect((await decide(202, second, { decision: "approve" })).interrupts).toHaveLength(1);
  const done = await decide(200, third, { decision: "approve" });
  expect(done).toMatchObject({ status: "completed", state: { published: [LOUD] } });
});

it("returns the text with every objection, and publishes a better one", async () => {
  const { interrupts } = await submit(LOUD);
  const [legal, security, style] = interrupts as Body[];
  await decide(202, style, { decision: "deny", reason: "calm down" });
  await decide(202, security, { decision: "deny" });
  const done = await decide(200, legal, { decision: "approve" });
  expect(done).toMatchObject({ status: "completed", state: { published: [] } });
  expect(words(done)).toBe("Not published. security: refused; style: calm down.");
  expect((await submit("We are up most of the time.")).state.published).toHaveLength(1);
});

it("takes all answers in one request", async () => {
  const { interrupts } = await submit(LOUD);
  const answers = interrupts.map(({ id }: Body) => ({ interrupt_id: id, decision: "approve" }));
  const done = expectJson(await server.post(`/threads/${thread}/resume`, { answers }), 200, "result");
  expect(done.state.published).toEqual([LOUD]);
});
