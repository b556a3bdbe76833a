/** A start that cannot load its graphs: one clear sentence, exit code 1, nothing listens. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { newFolder, put } from "./scene.js";
import { refusedStart } from "./refused-start.js";

const GRAPH = `import { END, START, StateGraph } from "holdpoint";
const graph = () => new StateGraph().addNode("A", () => ({})).addEdge(START, "A").addEdge("A", END);
`;

/** What the modules are, by file, and what the sentence must name. */
const CASES: Record<string, { files: Record<string, string>; says: RegExp[] }> = {
  "a module with a syntax error": {
    files: { "fine.ts": `${GRAPH} export const fine = graph().compile();`, "torn.ts": "export const x = ;" },
    says: [/torn\.ts does not load: .*(Parse|Syntax)Error/, /torn\.ts:1:17/],
  },
  "a JavaScript module with a syntax error": {
    files: { "torn.mjs": "export const x = {" },
    says: [/torn\.mjs does not load: .*(Parse|Syntax)Error/, /torn\.mjs:1:18/],
  },
  "a module that throws": {
    files: { "angry.ts": `throw new TypeError("no key for the bank");` },
    says: [/angry\.ts does not load: TypeError: no key for the bank/],
  },
  "a module that throws after an await": {
    files: { "late.mjs": `await Promise.resolve(); throw new Error("the bank is closed");` },
    says: [/late\.mjs does not load: Error: the bank is closed/],
  },
  "a module that throws no error at all": {
    files: { "odd.ts": `throw "just words";` },
    says: [/odd\.ts does not load: .*just words/],
  },
  "a module that imports what is not there": {
    files: { "lonely.ts": `import "./missing.js"; ${GRAPH} export const a = graph().compile();` },
    says: [/lonely\.ts does not load: .*missing/],
  },
  "a module without exports": {
    files: { "silent.ts": `${GRAPH} graph().compile();` },
    says: [/silent\.ts exports no compiled graph/],
  },
  "a module that exports a graph that was never compiled": {
    files: { "raw.ts": `${GRAPH} export const raw = graph();` },
    says: [/raw\.ts exports no compiled graph.*compile/],
  },
  "two graphs of one name in two modules": {
    files: {
      "one.ts": `${GRAPH} export const pay = graph().compile();`,
      "two.js": `${GRAPH} export const other = graph().compile({ name: "pay" });`,
    },
    says: [/called "pay"/, /one\.ts/, /two\.js/],
  },
  "two graphs of one name in one module": {
    files: {
      "both.ts": `${GRAPH} export const a = graph().compile({ name: "pay" });
        export const b = graph().compile({ name: "pay" });`,
    },
    says: [/called "pay"/, /both\.ts/],
  },
  "a graph with several faults": {
    files: {
      "faulty.ts": `${GRAPH} export const faulty = graph().addNode("B", () => ({})).addEdge("A", "Bee")
        .compile({ name: "faulty", interruptBefore: ["C"] });`,
    },
    // All of them at once.
    says: [
      /faulty\.ts does not load/,
      /Graph "faulty" has \d faults/,
      /"Bee" is not a node/,
      /"C" is not a node/,
    ],
  },
};

test.each(Object.entries(CASES))("%s stops the start", async (_name, { files, says }) => {
  const folder = newFolder();
  for (const [name, text] of Object.entries(files)) put(join(folder, name), text);
  const { said, lines } = await refusedStart({ env: { HOLDPOINT_GRAPHS: folder } });
  for (const pattern of says) expect(said).toMatch(pattern);
  // A list of faults, the place of a syntax error and Node's require stack have lines of their own.
  if (!/faults:|torn\.|Require stack/.test(said)) expect(lines).toHaveLength(1);
});

test("a folder without modules stops the start, naming the folder", async () => {
  const folder = join(newFolder(), "nothing");
  mkdirSync(folder);
  put(join(folder, "notes.txt"), "no graph");
  put(join(folder, "types.d.ts"), "export {};");
  const { said, lines } = await refusedStart({ env: { HOLDPOINT_GRAPHS: folder } });
  expect(said).toContain(folder);
  expect(said).toMatch(/no graph modules/);
  expect(lines).toHaveLength(1);
});

test("a path that is not there stops the start, naming the path", async () => {
  const folder = newFolder();
  put(join(folder, "fine.ts"), `${GRAPH} export const fine = graph().compile();`);
  const missing = join(folder, "missing.ts");
  const { said, lines } = await refusedStart({ env: { HOLDPOINT_GRAPHS: `${folder}/fine.ts, ${missing}` } });
  expect(said).toContain(missing);
  expect(said).toMatch(/no such file or folder/);
  expect(lines).toHaveLength(1);
});

test("a file that is no module stops the start, naming the file", async () => {
  const file = put(join(newFolder(), "graph.json"), `{"graph":1}`);
  const { said } = await refusedStart({ env: { HOLDPOINT_GRAPHS: file } });
  expect(said).toContain(file);
});
