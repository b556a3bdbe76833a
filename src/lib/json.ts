/** What JSON can carry without loss: the only values that state, messages, answers and events may hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = Readonly<Record<string, Json>>;

/** Deeper values are refused: parsers and printers of clients recurse, and some end at a few hundred levels. */
export const MAX_DEPTH = 100;

export interface JsonFault {
  readonly path: string;
  readonly problem: string;
  readonly code: "not_serialisable" | "too_deep";
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The first place where `value` is not JSON, or null. `undefined` members are JSON.stringify's to drop, so they pass. */
export function jsonFault(value: unknown, path = ""): JsonFault | null {
  // Nearly everything is: where it is, no path is written and nothing is kept of what is above.
  return isJson(value, 0) ? null : faultIn(value, path, []);
}

/** False also where it may be JSON that is looked at more closely. */
function isJson(value: unknown, depth: number): boolean {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return true;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || depth >= MAX_DEPTH) return false;
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) if (!isJson(item, depth + 1)) return false;
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined && !isJson(member, depth + 1)) return false;
  }
  return true;
}

function faultIn(value: unknown, path: string, above: readonly object[]): JsonFault | null {
  const fault = (problem: string): JsonFault => ({ path, problem, code: "not_serialisable" });
  switch (typeof value) {
    case "string":
    case "boolean":
      return null;
    case "number":
      return Number.isFinite(value) ? null : fault(`${value} is not a number JSON knows`);
    case "object":
      break;
    case "undefined":
      return fault("undefined is not JSON: use null");
    case "bigint":
      return fault("a bigint is not JSON: use a string or a number");
    case "function":
    case "symbol":
      return fault(`a ${typeof value} is not JSON`);
  }
  if (value === null) return null;
  if (above.includes(value)) return fault("it contains itself");
  if (above.length >= MAX_DEPTH) {
    return { path, problem: `nested deeper than ${MAX_DEPTH} levels`, code: "too_deep" };
  }
  const within = [...above, value];
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const found = faultIn(value[i], `${path}[${i}]`, within);
      if (found) return found;
    }
    return null;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const name = typeNameOf(prototype);
    return fault(`a ${name} is not JSON: store a plain object, a string or a number`);
  }
  for (const [key, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const found = faultIn(member, path === "" ? key : `${path}.${key}`, within);
    if (found) return found;
  }
  return null;
}

function typeNameOf(prototype: unknown): string {
  const type: unknown = isRecord(prototype) ? prototype.constructor : undefined;
  return typeof type === "function" && type.name !== "" ? type.name : "object with a prototype";
}

/** A copy that shares nothing with `value` and has lost what JSON loses (`undefined` members, `-0`). */
export function jsonCopy<T>(value: T): T {
  if (typeof value === "string" || typeof value === "boolean") return value;
  return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T);
}

/** Equal as JSON: the order of an object's keys does not matter. */
export function jsonEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a === "number" && typeof b === "number") return a === b;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => jsonEqual(item, b[i]));
  }
  const keys = definedKeys(a);
  return (
    keys.length === definedKeys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && jsonEqual((a as never)[key], (b as never)[key]))
  );
}

/** One text for all that is equal as JSON: keys sorted, nothing between them. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isRecord(value)) return JSON.stringify(value);
  const members = definedKeys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`);
  return `{${members.join(",")}}`;
}

function definedKeys(value: object): string[] {
  return Object.keys(value).filter((key) => (value as Record<string, unknown>)[key] !== undefined);
}
