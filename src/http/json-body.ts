import { isUtf8 } from "node:buffer";
import type { FastifyInstance } from "fastify";
import { HoldpointError } from "../errors.js";
import { isRecord, MAX_DEPTH } from "../lib/json.js";

/** A body is read as JSON whatever its Content-Type says (`curl -d` says a form), and an empty one is `{}`. */
export function registerJsonBody(app: FastifyInstance): void {
  app.addHook("onRequest", (request, _reply, done) => {
    // Also where that is no media type at all, or missing from a QUERY: Fastify would refuse it.
    if (request.headers["content-type"] !== undefined || request.method === "QUERY")
      request.headers["content-type"] = "application/json";
    done();
  });
  app.addHook("preValidation", (request, _reply, done) => {
    request.body ??= {};
    done();
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>("*", { parseAs: "buffer" }, (_request, body, done) => {
    try {
      done(null, parseBody(textOf(body)));
    } catch (error) {
      done(error as Error);
    }
  });
}

function textOf(body: Buffer): string {
  if (!isUtf8(body)) throw new HoldpointError("malformed_body", "the body is not UTF-8; send JSON in UTF-8");
  return body.toString();
}

/** Throws `malformed_body`, `too_deep`, `not_serialisable` for numbers that would lose digits, and `validation_failed` for keys that no object may carry. */
function parseBody(text: string): unknown {
  if (text.trim() === "") return {};
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new HoldpointError(
      "malformed_body",
      `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  // Fastify says null for no body at all, which is an empty one.
  if (body === null) throw refused("validation_failed", "", "the body is null; send an object");
  const large: LargeNumbers = new Map();
  refuseOddities(body, "", 0, large);
  if (large.size > 0) refuseLostDigits(text, large);
  return body;
}

/** Numbers beyond those that are exact, each with its path. */
type LargeNumbers = Map<number, string>;

function refuseOddities(value: unknown, path: string, depth: number, large: LargeNumbers): void {
  if (typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    if (!Number.isFinite(value)) throw refused("not_serialisable", path, `too large a number; ${AS_STRING}`);
    if (!large.has(value)) large.set(value, path);
  }
  if (typeof value !== "object" || value === null) return;
  if (depth >= MAX_DEPTH)
    throw refused("too_deep", path.slice(0, 200), `nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) refuseOddities(item, `${path}[${i}]`, depth + 1, large);
  } else if (isRecord(value)) {
    for (const [key, member] of Object.entries(value)) {
      const at = path === "" ? key : `${path}.${key}`;
      if (key === "__proto__")
        throw refused("validation_failed", at, "this key is not taken: copies of the object would lose it");
      refuseOddities(member, at, depth + 1, large);
    }
  }
}

const AS_STRING = "send it as a string";

/** What strings are made of, and numbers. Escapes are in strings only. */
const TOKENS = /(?:\\[^])+|"|-?\d[\d.eE+-]*/g;

/** An integer that is written in full must come back with the digits it was sent with. Only the text says how it was written. */
function refuseLostDigits(text: string, large: LargeNumbers): void {
  let isString = false;
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '"') isString = !isString;
    else if (!isString && losesDigits(token)) {
      const path = large.get(Number(token));
      // Of a key that is there twice, the first value is nobody's.
      if (path !== undefined)
        throw refused("not_serialisable", path, `${token.slice(0, 40)} would lose digits; ${AS_STRING}`);
    }
  }
}

function losesDigits(literal: string): boolean {
  if (literal.length < 16 || !/^-?\d+$/.test(literal)) return false;
  const [shortest = ""] = Number(literal).toExponential().split("e");
  return digitsOf(shortest) !== digitsOf(literal);
}

/** Without the zeros at the end, which say how large a number is and not which. */
const digitsOf = (literal: string): string => literal.replace(/[-.]/g, "").replace(/0+$/, "");

function refused(
  code: "too_deep" | "not_serialisable" | "validation_failed",
  path: string,
  message: string,
): HoldpointError {
  return new HoldpointError(code, path === "" ? message : `${path}: ${message}`, {
    errors: [{ path, message }],
  });
}
