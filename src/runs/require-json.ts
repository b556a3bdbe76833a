import { invalid } from "../errors.js";
import { jsonFault } from "../lib/json.js";

/** Throws `too_deep` or `not_serialisable` for a value of a request that JSON does not carry without loss. */
export function requireJson(value: unknown, path: string): void {
  const fault = jsonFault(value, path);
  if (fault !== null) throw invalid([{ path: fault.path, message: fault.problem }], fault.code);
}
