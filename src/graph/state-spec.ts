import { z } from "zod";
import type { StateSpec } from "../engine/index.js";
import { deepFreeze } from "../lib/deep-freeze.js";
import { jsonCopy, jsonFault, type Json } from "../lib/json.js";
import type { StateSchema } from "./types.js";

/** Names that every state has already, here or on the wire. */
const RESERVED = [
  "messages",
  "context",
  "contextSummary",
  "context_summary",
  "executionMeta",
  "setInterrupt",
];

/** A graph's schema as the engine needs it, and every fault of it. */
export function stateSpec(
  schema: StateSchema,
  reducers: Record<string, unknown>,
): { spec: StateSpec; faults: string[] } {
  const shape = schema.shape as Record<string, z.ZodType>;
  const fields = Object.keys(shape);
  const faults: string[] = [];
  for (const field of fields) {
    if (RESERVED.includes(field))
      faults.push(`state: "${field}" is a name that every state has already; call the field something else`);
    const value = defaultOf(shape[field]);
    const fault = value === undefined ? null : jsonFault(value, field);
    if (fault !== null) faults.push(`state: the default of ${fault.path} is not JSON: ${fault.problem}`);
  }
  if ((schema._zod.def.checks ?? []).length > 0) {
    faults.push(
      "state: a refinement of the whole object cannot be checked against one changed field; refine the fields",
    );
  }
  for (const [field, reducer] of Object.entries(reducers)) {
    if (!fields.includes(field)) faults.push(`reducers: "${field}" is not a field of the state`);
    else if (typeof reducer !== "function") faults.push(`reducers: that of "${field}" is not a function`);
  }

  const spec: StateSpec = {
    fields,
    reducers: new Map(Object.entries(reducers) as [string, (current: unknown, update: unknown) => unknown][]),
    // Field by field: `schema.partial()` would apply the defaults of all the others again.
    check: (field, value) => check(shape[field], value),
    defaults: () => Object.fromEntries(fields.flatMap((field) => entry(field, defaultOf(shape[field])))),
    missing: (values) =>
      fields.flatMap((field) => {
        if (Object.hasOwn(values, field)) return [];
        const result = check(shape[field], undefined);
        return result.ok ? [] : [{ path: field, message: result.message }];
      }),
    jsonSchema: jsonSchemaOf(schema),
  };
  return { spec, faults };
}

function check(schema: z.ZodType | undefined, value: unknown): ReturnType<StateSpec["check"]> {
  if (schema === undefined) return { ok: false, message: "not a field" };
  try {
    const result = schema.safeParse(value);
    if (result.success) return { ok: true, value: result.data as Json };
    return {
      ok: false,
      message: result.error.issues
        .map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
        .join("; "),
    };
  } catch (error) {
    // Asynchronous refinements and transforms that throw.
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}

function defaultOf(schema: z.ZodType | undefined): unknown {
  const result = check(schema, undefined);
  return result.ok ? result.value : undefined;
}

function entry(field: string, value: unknown): [string, Json][] {
  return value === undefined ? [] : [[field, deepFreeze(jsonCopy(value as Json))]];
}

/** For people and forms; what JSON Schema cannot say is left open. */
function jsonSchemaOf(schema: StateSchema): Json {
  try {
    return jsonCopy(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Json);
  } catch {
    return {};
  }
}
