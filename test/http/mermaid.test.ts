/** The picture of a graph says what the graph declares, and nothing else. */
import { Command, END, Send, START, StateGraph, type CompiledGraph } from "holdpoint";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { mermaid } from "../../src/http/index.js";
import { readPicture } from "../support/mermaid-picture.js";

const nothing = (): undefined => undefined;
const pictureOf = (graph: Pick<CompiledGraph, "definition">) => readPicture(mermaid(graph.definition));

const pay = new StateGraph()
  .addNode("CHECK", nothing)
  .addNode("PAY", nothing)
  .addEdge(START, "CHECK")
  .addEdge("CHECK", "PAY")
  .addEdge("PAY", END)
  .compile({ name: "payment", interruptBefore: ["PAY"], interruptAfter: ["CHECK", "PAY"] });

describe("the ways", () => {
  it("are every edge: several from one node, and several into one", () => {
    const { ways } = pictureOf(
      new StateGraph()
        .addNode("A", nothing)
        .addNode("B", nothing)
        .addNode("JOIN", nothing)
        .addEdge(START, "A")
        .addEdge(START, "B")
        .addEdge("A", "JOIN")
        .addEdge("B", "JOIN")
        .addEdge("JOIN", END)
        .compile(),
    );
    expect(ways).toEqual(["start -> A", "start -> B", "A -> JOIN", "B -> JOIN", "JOIN -> end"]);
  });

  it("of a condition are dotted, with the key where it says more than the name", () => {
    const { ways, arrows } = pictureOf(
      new StateGraph()
        .addNode("A", nothing)
        .addNode("B", nothing)
        .addConditionalEdges(START, () => "A", ["A", "B"])
        .addConditionalEdges("A", () => "yes", { yes: "B", no: END })
        .addEdge("B", END)
        .compile(),
    );
    expect(ways).toEqual(["start -> A", "start -> B", "A -yes> B", "A -no> end", "B -> end"]);
    expect(arrows.map(({ label }) => label === null)).toEqual([false, false, false, false, true]);
  });

  it("of a condition without a map, and of a Command, lead anywhere: to what nothing else leads to", () => {
    const split = () => [new Send("WORK", 1)];
    const { ways } = pictureOf(
      new StateGraph()
        .addNode("SPLIT", nothing)
        .addNode("WORK", nothing)
        .addNode("LEAD", () => new Command({ goto: END }))
        .addNode("LAST", nothing)
        .addEdge(START, "SPLIT")
        .addConditionalEdges("SPLIT", split)
        .addConditionalEdges("SPLIT", () => "LEAD")
        .addEdge("WORK", "LEAD")
        .addEdge("LAST", END)
        .compile(),
    );
    expect(ways).toEqual([
      "anywhere -> WORK",
      "anywhere -> LAST",
      "start -> SPLIT",
      "SPLIT -split> anywhere",
      "SPLIT -> anywhere",
      "WORK -> LEAD",
      "LEAD -Command> anywhere",
      "LAST -> end",
    ]);
  });

  it("of denials are those of the hold points and of the node, each once", () => {
    const { ways } = pictureOf(
      new StateGraph()
        .addNode("PAY", nothing, { onDeny: "ASKED" })
        .addNode("HELD", nothing)
        .addNode("ASKED", nothing)
        .addEdge(START, "PAY")
        .addEdge("PAY", END)
        .addEdge("HELD", END)
        .addEdge("ASKED", END)
        .compile({
          interruptBefore: [{ node: "PAY", onDeny: "HELD" }],
          interruptAfter: [{ node: "PAY", onDeny: "HELD" }],
        }),
    );
    expect(ways.filter((way) => way.includes("denied"))).toEqual([
      "PAY | held before, held after -denied> HELD",
      "PAY | held before, held after -denied> ASKED",
    ]);
  });
});

it("a nested graph is a box with its own start, end, hold points and ways, at every depth, each time it is used", () => {
  const shop = new StateGraph()
    .addNode("PAYMENT", pay, { onDeny: "SORRY" })
    .addNode("SORRY", nothing)
    .addEdge(START, "PAYMENT")
    .addEdge("PAYMENT", END)
    .addEdge("SORRY", END)
    .compile({ name: "shop", interruptBefore: ["PAYMENT"] });
  const { boxes, inside, arrows, ways } = pictureOf(
    new StateGraph()
      .addNode("SHOP", shop)
      .addNode("PAY", pay)
      .addEdge(START, "SHOP")
      .addEdge("SHOP", "PAY")
      .addEdge("PAY", END)
      .compile(),
  );
  const around = (id: string): string[] => {
    const outer = inside.get(id);
    return outer === undefined ? [] : [...around(outer), boxes.get(outer) ?? ""];
  };
  const places = [...boxes].map(([id, said]) => [...around(id), said].join(" / "));
  expect(places.filter((place) => place.includes("held"))).toEqual([
    "SHOP (shop) / PAYMENT (payment) | held before",
    "SHOP (shop) / PAYMENT (payment) | held before / start",
    "SHOP (shop) / PAYMENT (payment) | held before / end",
    "SHOP (shop) / PAYMENT (payment) | held before / CHECK | held after",
    "SHOP (shop) / PAYMENT (payment) | held before / PAY | held before, held after",
    "PAY (payment) / CHECK | held after",
    "PAY (payment) / PAY | held before, held after",
  ]);
  for (const { from, to } of arrows) expect(inside.get(from)).toBe(inside.get(to));
  expect(ways.filter((_way, i) => !inside.has(arrows[i]?.from ?? ""))).toEqual([
    "start -> SHOP (shop)",
    "SHOP (shop) -> PAY (payment)",
    "PAY (payment) -> end",
  ]);
  expect(ways.filter((way) => way === "CHECK | held after -> PAY | held before, held after")).toHaveLength(2);
});

it("each of the examples has one", async () => {
  const folder = fileURLToPath(new URL("../../examples/", import.meta.url));
  for (const file of readdirSync(folder)) {
    const module = (await import(join(folder, file))) as Record<string, CompiledGraph>;
    for (const [name, graph] of Object.entries(module))
      expect(pictureOf(graph).ways.length, `${file}: ${name}`).toBeGreaterThan(1);
  }
});

it.each([
  `say "hi"`,
  "#quot; #35;",
  "<script>alert(1)</script>",
  "`md`",
  "a]b)c}d|e",
  "end",
  "subgraph x",
  "two\nlines",
  "%% no comment",
  "żółw 🐢",
  "a --> b",
])("a name may be anything: %j", (name) => {
  const graph = new StateGraph()
    .addNode(name, nothing)
    .addConditionalEdges(START, () => name, { [name]: name, "": END })
    .addEdge(name, END)
    .compile();
  const outer = new StateGraph().addNode(name, graph).addEdge(START, name).addEdge(name, END).compile();
  expect(pictureOf(graph).ways).toEqual([`start -> ${name}`, "start -> end", `${name} -> end`]);
  expect([...pictureOf(outer).boxes.values()]).toContain(`${name} (graph)`);
});
