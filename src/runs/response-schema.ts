import { Ajv2020 } from "ajv/dist/2020.js";
import { z } from "zod";
import type { ValidationFault } from "../errors.js";
import { isRecord, jsonCopy, jsonFault, type Json } from "../lib/json.js";

// Formats are notes here, as JSON Schema 2020-12 has it; zod writes a pattern beside those that it checks.
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });

/** A zod schema or a JSON Schema, as JSON Schema. Throws where it cannot be said as one. */
export function asJsonSchema(schema: unknown): Json {
  if (schema === undefined || schema === null) return null;
  if (isZod(schema)) return jsonCopy(z.toJSONSchema(schema, { io: "input" }) as Json);
  if (!isRecord(schema) || jsonFault(schema) !== null)
    throw new Error("responseSchema is neither a zod schema nor a JSON Schema");
  ajv.compile(schema);
  return jsonCopy(schema as Json);
}

// Structural: a graph module may bring a zod of its own.
function isZod(schema: unknown): schema is z.ZodType {
  return isRecord(schema) && "_zod" in schema;
}

/** Where `data` does not fit, as paths under `data`. */
export function checkData(schema: Json, data: Json): ValidationFault[] {
  if (schema === null) return [];
  const validate = ajv.compile(schema as object);
  if (validate(data)) return [];
  return (validate.errors ?? []).map((error) => ({
    path: `data${error.instancePath.replaceAll("/", ".")}`,
    message: error.message ?? "does not fit the schema",
  }));
}
