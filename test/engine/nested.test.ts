import { describe, expect, it } from "vitest";
import { closeStep } from "../../src/engine/advance.js";
import { enterNested, innerValues, leaveNested } from "../../src/engine/nested.js";
import { START, type EdgeSpec, type Inner, type Task, type Values } from "../../src/engine/index.js";
import {
  answer,
  anyState,
  append,
  definition,
  message,
  nested,
  placed,
  running,
  snapshot,
  task,
} from "./helpers.js";

const edges = (...to: string[]): ReadonlyMap<string, readonly EdgeSpec[]> =>
  new Map([[START, to.map((each) => ({ kind: "static" as const, to: each }))]]);
const inner = definition(
  { X: {}, Y: {} },
  { state: anyState(new Map([["list", append]]), { list: [], own: "mine" }), edges: edges("Y", "X") },
);
const def = definition({ A: {}, SUB: nested(inner) }, { state: anyState(new Map([["list", append]])) });
const sub = nested(inner);
const cleared = task("SUB", { stage: "cleared", attempts: 1, answer: answer() });
const at = snapshot([task("A"), cleared], { step: 4, values: { n: 1, list: [1], contextSummary: "so far" } });
const given = { fields: { own: "given" }, messages: null };

describe("a nested graph begins", () => {
  it("with its defaults, and the values of the fields that both graphs have", () => {
    expect(innerValues(placed(def, at, cleared), sub, null)).toEqual({
      list: [1],
      own: "mine",
      contextSummary: "so far",
    });
  });

  it("with its defaults and what it was given, where it was given something", () => {
    expect(innerValues(placed(def, at, cleared), sub, given)).toEqual({ list: [], own: "given" });
  });

  it("at its entry, with tasks made under the one it runs in; nothing around it changes", () => {
    const of = { values: { list: [1], own: "mine" }, given: null, attempts: 2 };
    const begun = enterNested(at, placed(def, at, cleared), sub, of);
    expect(begun).toMatchObject({ step: 4, values: at.values, messages: [] });
    expect(begun.position.tasks[0]).toBe(at.position.tasks[0]);
    expect(begun.position.tasks[1]).toMatchObject({ ...cleared, attempts: 2 });
    expect(begun.position.tasks[1]?.inner).toEqual({
      values: of.values,
      messages: [],
      updates: [],
      tasks: ["X", "Y"].map((node, i) => ({
        id: `${cleared.id}/4/${i}/${node}`,
        node,
        path: ["SUB", node],
        stage: "due",
        attempts: 0,
      })),
    });
  });

  it("apart from the messages around it where it was given its own, an empty list too", () => {
    for (const messages of [[message("m")], []]) {
      const of = { values: {}, given: { fields: {}, messages }, attempts: 1 };
      const begun = enterNested(at, placed(def, at, cleared), sub, of);
      expect(begun.position.tasks[1]?.inner?.apart).toEqual(messages);
    }
    const of = { values: {}, given, attempts: 1 };
    expect(enterNested(at, placed(def, at, cleared), sub, of).position.tasks[1]?.inner).not.toHaveProperty(
      "apart",
    );
  });
});

describe("a nested graph ends", () => {
  const leave = (of: Partial<Inner>, out: Parameters<typeof leaveNested>[3] = null): Task | undefined => {
    const through = running("SUB", () => [], of, { ...cleared, streamed: true });
    const before = snapshot([through]);
    return leaveNested(before, placed(def, before, through), sub, out).position.tasks[0];
  };

  it("with its nodes' updates of shared fields and what they said, as a result that its step will apply", () => {
    const updates: Values[] = [{ list: [1], own: "x" }, { own: "y" }, { list: [2], contextSummary: "more" }];
    const left = leave({ updates, messages: [message("m")], values: { list: [9, 1, 2], own: "y" } });
    expect(left).toEqual({
      ...cleared,
      stage: "done",
      result: {
        updates: [{ list: [1] }, { list: [2], contextSummary: "more" }],
        messages: [message("m")],
        said: true,
      },
    });
    const closed = closeStep(def, snapshot([left ?? cleared], { values: { n: 0, list: [0] } }), null);
    expect(closed.snapshot.values).toEqual({ n: 0, list: [0, 1, 2], contextSummary: "more" });
  });

  it("with what a mapping made of it instead; that was not said before", () => {
    const out = { updates: [{ n: 3 }], messages: [message("out")] };
    const left = leave({ updates: [{ list: [1] }], messages: [message("m")] }, out);
    expect(left?.result).toEqual(out);
  });

  it("denied as a node where a denial inside found no way, and what its finished nodes produced stays", () => {
    const denied = answer({ decision: "deny" });
    const left = leave({ updates: [{ list: [1] }], denied });
    expect(left).toMatchObject({
      stage: "done",
      denied,
      deniedInside: true,
      result: { updates: [{ list: [1] }] },
    });
  });
});
