/** Whoever meets a public name in an editor reads there what it is. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FACES = ["index.d.ts", "client/index.d.ts"].map((file) => join(ROOT, "dist", file));

const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path)).config,
  ts.sys,
  ROOT,
);
const program = ts.createProgram(FACES, options);
const checker = program.getTypeChecker();

const faces = (): readonly ts.Symbol[] => FACES.flatMap(face);

function face(file: string): readonly ts.Symbol[] {
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${file} is no module`);
  return checker
    .getExportsOfModule(module)
    .map((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol));
}

const isBare = (symbol: ts.Symbol): boolean =>
  ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim() === "";

/** Methods that a class or an interface of ours declares. */
function methods(symbol: ts.Symbol): ts.Symbol[] {
  if (!(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface))) return [];
  return checker
    .getDeclaredTypeOfSymbol(symbol)
    .getProperties()
    .filter(({ declarations = [] }) =>
      declarations.some(
        (each) =>
          (ts.isMethodDeclaration(each) || ts.isMethodSignature(each)) &&
          each.getSourceFile().fileName.startsWith(join(ROOT, "dist")),
      ),
    );
}

test("every public export has a docstring", () => {
  const symbols = faces();
  expect(symbols.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      "StateGraph",
      "PgCheckpointer",
      "RunEvent",
      "HoldpointClient",
      "ThreadBusyError",
    ]),
  );
  expect(symbols.filter(isBare).map(({ name }) => name)).toEqual([]);
});

test("so has every method of a public class or interface", () => {
  const all = faces().flatMap((symbol) => methods(symbol).map((method) => [symbol.name, method] as const));
  expect(all.map(([of, { name }]) => `${of}.${name}`)).toEqual(
    expect.arrayContaining([
      "StateGraph.compile",
      "CompiledGraph.invoke",
      "Checkpointer.write",
      "NodeContext.once",
      "ThreadClient.run",
      "EventStream.close",
    ]),
  );
  expect(all.filter(([, method]) => isBare(method)).map(([of, { name }]) => `${of}.${name}`)).toEqual([]);
});
