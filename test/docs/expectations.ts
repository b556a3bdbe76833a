/**
 * Expectations in the code of pages: `expression; // => value` says what the expression is, `statement; // throws "code"`
 * what it is refused with (an error's code, else its name). They become calls here; lines stay where they are.
 */
import ts from "typescript";
import { expect } from "vitest";

const EXPECTATION = /^\/\/ (=>|throws) (.+)$/;

/** The code with its expectations as calls of `checks`. Throws for one that stands behind no expression statement. */
export function withChecks(code: string, name: string): string {
  const source = ts.createSourceFile(name, code, ts.ScriptTarget.Latest, true);
  const changes: { from: number; to: number; text: string }[] = [];
  const met = new Set<number>();
  const visit = (node: ts.Node): void => {
    const [comment, ...more] = ts.getTrailingCommentRanges(code, node.end) ?? [];
    if (ts.isExpressionStatement(node) && comment !== undefined && more.length === 0) {
      const said = EXPECTATION.exec(code.slice(comment.pos, comment.end));
      if (said !== null) {
        const [, kind, value = ""] = said;
        const { line } = source.getLineAndCharacterOfPosition(comment.pos);
        const at = `"${name}:${line + 1}"`;
        const shown = kind === "=>" ? printed(node.expression) : node.expression;
        const text = code.slice(shown.getStart(), shown.end);
        const call = kind === "=>" ? "is" : "throws";
        met.add(comment.pos);
        changes.push({
          from: node.getStart(),
          to: node.end,
          text: `await globalThis.pageChecks.${call}(${at}, async () => (${text}), ${value});`,
        });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  for (const { index, 0: text } of code.matchAll(/\/\/ (?:=>|throws) .*$/gm)) {
    if (!met.has(index))
      throw new Error(
        `${name}:${source.getLineAndCharacterOfPosition(index).line + 1}: not behind an expression: ${text}`,
      );
  }
  let changed = code;
  for (const { from, to, text } of changes.toSorted((a, b) => b.from - a.from))
    changed = changed.slice(0, from) + text + changed.slice(to);
  return changed;
}

/** What `console.log(x)` prints is what a reader sees of x. */
function printed(expression: ts.Expression): ts.Expression {
  if (!ts.isCallExpression(expression) || expression.expression.getText() !== "console.log")
    return expression;
  const [argument, ...more] = expression.arguments;
  if (argument === undefined || more.length > 0) throw new Error(`one value a line: ${expression.getText()}`);
  return argument;
}

/** How many expectations were held against what happened. */
export interface Checks {
  is(at: string, value: () => Promise<unknown>, expected: unknown): Promise<void>;
  throws(at: string, work: () => Promise<unknown>, expected: string): Promise<void>;
  readonly count: number;
}

export function newChecks(): Checks {
  let count = 0;
  return {
    get count() {
      return count;
    },
    async is(at, value, expected) {
      expect(await value(), at).toEqual(expected);
      count++;
    },
    async throws(at, work, expected) {
      let thrown: unknown = null;
      try {
        await work();
      } catch (error) {
        thrown = error;
      }
      const { code, name } = (thrown ?? {}) as { code?: string; name?: string };
      expect(code ?? name ?? "nothing was thrown", at).toBe(expected);
      count++;
    },
  };
}
