import { expect, it } from "vitest";
import { END, START } from "../../src/engine/index.js";
import { parts } from "./helpers.js";

const hold = (node: string, onDeny?: string) =>
  new Map([[node, { node, plain: false, ...(onDeny === undefined ? {} : { onDeny }) }]]);

it("a sound graph has no fault", () => {
  expect(parts(["A", "B"], { [START]: ["A"], A: [["B", END]], B: ["A"] })).toEqual([]);
});

it("every unknown name is a fault of its own, with the nearest known one", () => {
  const found = parts(
    ["ANALYZE", "EXECUTE"],
    { [START]: ["ANALYSE"], ANALYZE: [["EXCUTE", END]], EXECUT: [END] },
    { before: hold("EXECTE"), after: hold("ANALYZE", "EXCUTE") },
  );
  expect(found).toHaveLength(5);
  for (const fault of found) expect(fault).toMatch(/is not a node; did you mean "(ANALYZE|EXECUTE)"/);
});

it("a name that is like none gets no suggestion", () => {
  const [fault] = parts(["A"], { [START]: ["A"], A: ["SOMETHING_ELSE_ENTIRELY"] });
  expect(fault).toContain('"SOMETHING_ELSE_ENTIRELY" is not a node');
  expect(fault).not.toContain("did you mean");
});

it("no entry, an edge to START and an edge from END are faults", () => {
  expect(parts(["A"], { A: [END] })).toEqual([expect.stringMatching(/no entry.*addEdge\(START, "A"\)/)]);
  expect(parts(["A"], { [START]: ["A"], A: [START] }).join()).toContain("leads to START");
  expect(parts(["A"], { [START]: ["A"], A: [END], [END]: ["A"] }).join()).toContain("END has no edges");
});

it("a duplicate is a fault", () => {
  expect(parts(["A"], { [START]: ["A"], A: [END] }, { duplicates: ["A"] })).toEqual([
    'node "A" is added twice',
  ]);
});

it("unreachable nodes and nodes without a way to END are each named", () => {
  expect(parts(["A", "B", "C"], { [START]: ["A"], A: [["A", "B"]], B: ["A"], C: [END] })).toEqual([
    expect.stringContaining('"C" cannot be reached'),
    expect.stringContaining('"A" has no way to END'),
    expect.stringContaining('"B" has no way to END'),
  ]);
});

it("what may go anywhere silences both, but only where it can be reached", () => {
  expect(parts(["A", "B"], { [START]: ["A"], A: [null], B: ["B"] })).toEqual([]);
  expect(parts(["A", "B"], { [START]: ["A"], B: ["B"] })).toEqual([]);
  const unreached = parts(["A", "B"], { [START]: ["A"], A: [END] });
  expect(unreached).toEqual([expect.stringContaining('"B" cannot be reached')]);
});

it("a denial's way is a way", () => {
  const edges = { [START]: ["A"], A: ["A"], B: [END] };
  expect(parts(["A", "B"], edges)).toHaveLength(2);
  expect(parts(["A", "B"], edges, { before: hold("A", "B") })).toEqual([]);
  expect(parts(["A", "B"], edges, { after: hold("A", "B") })).toEqual([]);
});
