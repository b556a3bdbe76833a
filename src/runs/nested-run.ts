/** The user's code at the edges of a nested graph: what it begins with, what it leaves. */
import {
  innerValues,
  scopeIn,
  UpdateFault,
  type InnerInput,
  type NestedGraph,
  type NodeOutput,
  type Place,
  type Values,
} from "../engine/index.js";
import { isRecord, type Json } from "../lib/json.js";
import { nodeView, viewFor } from "./judge-hold.js";
import { field, nodeOutput } from "./node-output.js";

/** What a nested graph begins with: what `in` made, what a `Send` gave, or the fields it shares. Throws UpdateFault. */
export async function innerStart(
  place: Place,
  nested: NestedGraph,
  step: number,
): Promise<{ given: InnerInput | null; values: Values }> {
  const given = await innerInput(place, nested, step);
  const values = innerValues(place, nested, given);
  const missing = nested.graph.state.missing(values).map(({ path, message }) => `"${path}": ${message}`);
  if (missing.length > 0) throw new UpdateFault(`the nested graph cannot begin: ${missing.join("; ")}`);
  return { given, values };
}

async function innerInput(place: Place, nested: NestedGraph, step: number): Promise<InnerInput | null> {
  if (nested.in !== undefined) {
    const made = await nested.in(nodeView(place, step));
    if (!isRecord(made))
      throw new UpdateFault("`in` gives the fields that the nested graph begins with, as an object");
    const { messages = [], ...fields } = made;
    const read = nodeOutput(nested.graph, null, { messages }, null);
    return { fields: checked(nested, fields), messages: read.messages };
  }
  if (place.task.sent === undefined) return null;
  const { value } = place.task.sent;
  if (!isRecord(value))
    throw new UpdateFault("a Send to a nested graph gives the fields that it begins with, as an object");
  return { fields: checked(nested, value), messages: null };
}

function checked(nested: NestedGraph, fields: Record<string, unknown>): Values {
  const values: Record<string, Json> = {};
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) values[key] = field(nested.graph, key, value, "patch");
  }
  return values;
}

/** The update that `out` makes of a nested graph's last state; null where it has no `out`. Throws UpdateFault. */
export async function innerOutput(
  place: Place,
  nested: NestedGraph,
  step: number,
): Promise<NodeOutput | null> {
  const inside = scopeIn(place.scope, place.task);
  if (nested.out === undefined || inside === null) return null;
  const made = await nested.out(viewFor(inside, nested.name, step));
  const output = nodeOutput(place.scope.def, null, made, null);
  if (output.goto !== null)
    throw new UpdateFault("`out` gives an update: where to go is for the graph's edges");
  return output;
}
