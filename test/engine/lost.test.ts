import { describe, expect, it } from "vitest";
import { loseAttempt, mayRepeat } from "../../src/engine/lost.js";
import type { GraphDefinition, HoldNames, NodeOptions, RunHolds, Task } from "../../src/engine/index.js";
import { definition, nested, placed, running, snapshot, task, taskIn } from "./helpers.js";

const lost = { attempt: 2, beganAt: "then", cause: "crash" as const, once: ["charge"] };
const holds = (before: HoldNames, after: HoldNames = []): RunHolds => ({ before, after });
const hold = (node: string) => new Map([[node, { node, plain: true }]]);

function lose(
  def: GraphDefinition,
  of: Task,
  how: Parameters<typeof loseAttempt>[2] = lost,
): Task | undefined {
  const at = snapshot([of]);
  return loseAttempt(at, placed(def, at, of), how).position.tasks[0];
}

describe("a lost attempt", () => {
  const cleared = task("A", { stage: "cleared" });

  it("of a node without a gate is counted and repeated", () => {
    expect(lose(definition({ A: {} }), cleared)).toEqual({ ...cleared, attempts: 2 });
  });

  it("of a gated node asks, and shows node, attempt, when it began and what it had stored", () => {
    const gated = definition({ A: { onCrash: "hold" } });
    expect(lose(gated, cleared)?.asks).toMatchObject([
      {
        key: "crash:2",
        kind: "crash",
        plain: false,
        decisions: ["approve", "edit", "deny"],
        data: { node: "A", attempt: 2, began_at: "then", cause: "crash", once: ["charge"] },
      },
    ]);
  });

  it("says what became of it, and asks for each lost attempt anew", () => {
    const gated = definition({ A: { onCrash: "hold" } });
    const once = lose(gated, cleared);
    const twice = lose(gated, once ?? cleared, { ...lost, attempt: 3, cause: "timeout" });
    expect(twice?.asks?.map(({ key }) => key)).toEqual(["crash:2", "crash:3"]);
    expect(once?.asks?.[0]?.message).toContain("its process died");
    expect(twice?.asks?.[1]?.message).toContain("it timed out");
    expect(lose(gated, cleared, { ...lost, cause: "stop" })?.asks?.[0]?.message).toContain(
      "a stop gave it up",
    );
  });

  it("never counts back", () => {
    const tried = task("A", { stage: "cleared", attempts: 5 });
    expect(lose(definition({ A: {} }), tried)?.attempts).toBe(5);
  });
});

describe("a node may be repeated", () => {
  const may = (def: GraphDefinition, of: Task = task("A"), names: RunHolds = holds([])): boolean =>
    mayRepeat(placed(def, snapshot([of]), of), names);
  const plain = definition({ A: {} });

  it("unless a person has a say in it, or as its onCrash says", () => {
    expect(may(plain)).toBe(true);
    expect(may(definition({ A: {} }, { before: hold("A") }))).toBe(false);
    expect(may(definition({ A: {} }, { after: hold("A") }))).toBe(false);
    expect(may(plain, task("A", { answered: true }))).toBe(false);
    expect(may(plain, task("A"), holds(["A"]))).toBe(false);
    expect(may(plain, task("A"), holds([], ["A"]))).toBe(false);
    expect(may(plain, task("A"), holds("*"))).toBe(false);
    expect(may(plain, task("A"), holds(["B"]))).toBe(true);
    expect(may(definition({ A: { onCrash: "rerun" } }), task("A"), holds("*"))).toBe(true);
    expect(may(definition({ A: { onCrash: "hold" } }))).toBe(false);
  });

  describe("in a nested graph", () => {
    const sub = running("SUB", (owner) => [
      running("MID", (mid) => [taskIn(mid, "X")], {}, taskIn(owner, "MID")),
    ]);
    const x = sub.inner?.tasks[0]?.inner?.tasks[0] ?? task("none");

    /** SUB holds MID holds X, each behind what is said here. */
    function graph(
      of: { root?: NodeOptions; mid?: NodeOptions; x?: NodeOptions } = {},
      held: {
        root?: ReturnType<typeof hold>;
        mid?: ReturnType<typeof hold>;
        x?: ReturnType<typeof hold>;
      } = {},
    ): GraphDefinition {
      const innermost = definition({ X: of.x ?? {} }, { before: held.x ?? new Map() });
      const middle = definition({ MID: nested(innermost, of.mid) }, { before: held.mid ?? new Map() });
      return definition({ SUB: nested(middle, of.root), X: {} }, { before: held.root ?? new Map() });
    }
    const mayInside = (def: GraphDefinition, names?: RunHolds): boolean =>
      mayRepeat(placed(def, snapshot([sub]), x), names ?? holds([]));

    it("unless a hold point is in front of it or of a graph around it, at any depth", () => {
      expect(mayInside(graph())).toBe(true);
      for (const held of [{ root: hold("SUB") }, { mid: hold("MID") }, { x: hold("X") }])
        expect(mayInside(graph({}, held))).toBe(false);
      expect(mayInside(graph(), holds(["SUB"]))).toBe(false);
      expect(mayInside(graph(), holds([], "*"))).toBe(false);
      // The thread's own X is another node.
      expect(mayInside(graph({}, { root: hold("X") }), holds(["X"]))).toBe(true);
    });

    it("as the nearest onCrash says: its own, else that of the graph that it is in", () => {
      expect(mayInside(graph({ root: { onCrash: "hold" } }))).toBe(false);
      expect(mayInside(graph({ root: { onCrash: "hold" }, mid: { onCrash: "rerun" } }))).toBe(true);
      expect(mayInside(graph({ mid: { onCrash: "rerun" }, x: { onCrash: "hold" } }))).toBe(false);
      expect(mayInside(graph({ root: { onCrash: "rerun" } }, { root: hold("SUB"), x: hold("X") }))).toBe(
        true,
      );
    });
  });
});
