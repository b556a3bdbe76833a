import { invalid, type ValidationFault } from "../errors.js";
import {
  UpdateFault,
  type GraphDefinition,
  type HoldNames,
  type Message,
  type NewMessage,
  type RunHolds,
  type RunInput,
  type Values,
} from "../engine/index.js";
import type { Json } from "../lib/json.js";
import { didYouMean } from "../lib/nearest.js";
import { requestMessages } from "./message-input.js";
import { field } from "./node-output.js";
import { isTaken } from "./on-disconnect.js";
import { requireJson } from "./require-json.js";

/** What a run or a resume may be told beside its input. */
export interface RunConfig {
  readonly recursionLimit?: number | undefined;
  readonly interruptBefore?: HoldNames | undefined;
  readonly interruptAfter?: HoldNames | undefined;
  readonly metadata?: Record<string, unknown> | undefined;
}

/** Messages and fields, as they come in. */
export interface InputRequest {
  readonly messages?: readonly (string | NewMessage)[] | undefined;
  readonly fields?: Record<string, unknown> | undefined;
}

/** Steps of one run. */
const DEFAULT_RECURSION_LIMIT = 25;
export const MAX_RECURSION_LIMIT = 100_000;

/** Checked against the graph's state. Throws `validation_failed`, `message_exists`, `too_deep`, `not_serialisable`. */
export function checkInput(
  def: GraphDefinition,
  context: readonly Message[],
  input: InputRequest,
  path: string,
  way: "update" | "patch" = "update",
): RunInput {
  const messages = requestMessages(
    input.messages ?? [],
    context,
    path === "" ? "messages" : `${path}.messages`,
  );
  return { fields: checkFields(def, input.fields ?? {}, path, way), messages };
}

/** Fields of a request, each declared, JSON and taken by the schema; a patch goes past the reducers. */
export function checkFields(
  def: GraphDefinition,
  given: Record<string, unknown>,
  path: string,
  way: "update" | "patch",
): Values {
  const values: Record<string, Json> = {};
  const faults: ValidationFault[] = [];
  for (const [key, value] of Object.entries(given)) {
    const at = path === "" ? key : `${path}.${key}`;
    requireJson(value, at);
    try {
      values[key] = field(def, key, value, way);
    } catch (error) {
      if (!(error instanceof UpdateFault)) throw error;
      faults.push({ path: at, message: error.message });
    }
  }
  if (faults.length > 0) throw invalid(faults);
  return values;
}

/** A run's own limits and hold points, checked; an unknown name is refused with the nearest one. */
export interface CheckedConfig {
  readonly recursionLimit: number;
  readonly holds: Partial<RunHolds>;
  readonly metadata: Record<string, Json>;
}

/** Throws `validation_failed` with every fault. */
export function checkConfig(def: GraphDefinition, config: RunConfig): CheckedConfig {
  const faults: ValidationFault[] = [];
  const recursionLimit = config.recursionLimit ?? DEFAULT_RECURSION_LIMIT;
  if (!Number.isSafeInteger(recursionLimit) || recursionLimit < 1 || recursionLimit > MAX_RECURSION_LIMIT) {
    faults.push({
      path: "config.recursion_limit",
      message: `a whole number from 1 to ${MAX_RECURSION_LIMIT}`,
    });
  }
  const check = (names: HoldNames | undefined, path: string): HoldNames | undefined => {
    if (names === undefined || names === "*") return names;
    for (const name of names) {
      if (!def.nodes.has(name))
        faults.push({
          path,
          message: `"${name}" is not a node of ${def.name}${didYouMean(name, def.nodes.keys())}`,
        });
    }
    return names;
  };
  if (config.metadata !== undefined && isTaken(config.metadata))
    faults.push({ path: "config.metadata", message: "has a key that is Holdpoint's own" });
  const before = check(config.interruptBefore, "config.interrupt_before");
  const after = check(config.interruptAfter, "config.interrupt_after");
  if (faults.length > 0) throw invalid(faults);
  return {
    recursionLimit,
    holds: { ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) },
    metadata: checkMetadata(config.metadata, "config.metadata"),
  };
}

export function checkMetadata(
  metadata: Record<string, unknown> | undefined,
  path: string,
): Record<string, Json> {
  requireJson(metadata ?? {}, path);
  return (metadata ?? {}) as Record<string, Json>;
}
