import {
  Command,
  END,
  Send,
  UpdateFault,
  type GraphDefinition,
  type Message,
  type NodeOutput,
  type NodeState,
  type Target,
} from "../engine/index.js";
import { deepFreeze } from "../lib/deep-freeze.js";
import { isRecord, jsonCopy, jsonFault, type Json } from "../lib/json.js";
import { didYouMean } from "../lib/nearest.js";
import { isInstance, show } from "../lib/show.js";
import { looksLikeMessage, toMessage } from "./message-input.js";

/** What an async generator has streamed: its text becomes a message if it returns none. */
export interface Streamed {
  readonly messageId: string;
  readonly text: string;
}

/** What a node returned, checked and made of JSON. Throws UpdateFault naming what is wrong. */
export function nodeOutput(
  def: GraphDefinition,
  state: NodeState | null,
  returned: unknown,
  streamed: Streamed | null,
): NodeOutput {
  const output = read(def, state, returned, streamed?.messageId);
  if (streamed === null || streamed.text === "" || output.messages.length > 0) return output;
  const update: unknown = isInstance(returned, Command) ? returned.update : returned;
  if (update !== undefined && update !== null) return output;
  return { ...output, messages: [message(streamed.text, "the streamed text", streamed.messageId)] };
}

function read(
  def: GraphDefinition,
  state: NodeState | null,
  returned: unknown,
  firstId: string | undefined,
): NodeOutput {
  const nothing: NodeOutput = { update: {}, messages: [], goto: null };
  if (returned === undefined || returned === null || isSame(returned, state)) return nothing;
  if (isInstance(returned, Command)) {
    return { ...read(def, state, returned.update, firstId), goto: gotoTargets(def, returned.goto) };
  }
  if (typeof returned === "string") return { ...nothing, messages: [message(returned, "message", firstId)] };
  if (Array.isArray(returned)) return { ...nothing, messages: messages(returned, "message", firstId) };
  if (!isRecord(returned))
    throw new UpdateFault(
      `a ${typeof returned} is no update: return an object, a message, a string, a Command or nothing`,
    );
  const declaresBoth = def.state.fields.includes("role") && def.state.fields.includes("content");
  if (looksLikeMessage(returned) && !declaresBoth)
    return { ...nothing, messages: [message(returned, "message", firstId)] };
  return { ...nothing, ...fields(def, returned, firstId) };
}

/** The state itself, given back; a `Send`'s value may be a plain string, which is then a message as any. */
const isSame = (returned: unknown, state: NodeState | null): boolean =>
  typeof returned === "object" && returned === state;

function fields(
  def: GraphDefinition,
  update: Record<string, unknown>,
  firstId: string | undefined,
): Pick<NodeOutput, "update" | "messages"> {
  const broken = jsonFault(update);
  // Of the whole: a Map is no update, whatever is in it. Members are named below.
  if (broken !== null && broken.path === "")
    throw new UpdateFault(`${broken.problem}; an update is a plain object`);
  const checked: Record<string, Json> = {};
  let added: readonly Message[] = [];
  for (const [key, value] of Object.entries(update)) {
    if (value === undefined) continue;
    if (key === "messages") added = messages(Array.isArray(value) ? value : [value], "messages", firstId);
    else checked[key] = field(def, key, value);
  }
  return { update: checked, messages: added };
}

/** One field of an update: declared, JSON, and taken by the schema (where a reducer combines an
 * update, it checks the result; a patch goes past it). */
export function field(
  def: GraphDefinition,
  key: string,
  value: unknown,
  way: "update" | "patch" = "update",
): Json {
  const isSummary = key === "contextSummary";
  if (!isSummary && !def.state.fields.includes(key)) {
    const known = [...def.state.fields, "messages", "contextSummary"];
    const hint = key === "context" ? '; add messages by the key "messages"' : didYouMean(key, known);
    throw new UpdateFault(`"${key}" is not a field of the graph's state${hint}`);
  }
  const fault = jsonFault(value, key);
  if (fault !== null) throw new UpdateFault(`"${key}" is not JSON at ${fault.path}: ${fault.problem}`);
  if (isSummary) {
    if (typeof value !== "string" && value !== null)
      throw new UpdateFault('"contextSummary" is a string or null');
    return value;
  }
  if (way === "update" && def.state.reducers.has(key)) return deepFreeze(jsonCopy(value as Json));
  const result = def.state.check(key, value);
  if (!result.ok) throw new UpdateFault(`"${key}" is refused by the state's schema: ${result.message}`);
  const after = jsonFault(result.value, key);
  if (after !== null)
    throw new UpdateFault(`the schema makes "${key}" into what is not JSON: ${after.problem}`);
  return deepFreeze(jsonCopy(result.value));
}

function messages(given: readonly unknown[], path: string, firstId: string | undefined): Message[] {
  let id = firstId;
  return given.map((each, i) => {
    const made = message(each, `${path}[${i}]`, id);
    if (made.id === id) id = undefined;
    return made;
  });
}

function message(given: unknown, path: string, id?: string): Message {
  const made = toMessage(given, "assistant", path, id);
  if (!Array.isArray(made)) return made;
  throw new UpdateFault(
    `what the node returned is no message: ${made.map((fault) => `${fault.path}: ${fault.message}`).join("; ")}`,
  );
}

function gotoTargets(def: GraphDefinition, goto: unknown): Target[] | null {
  if (goto === undefined) return null;
  const targets = Array.isArray(goto) ? (goto as unknown[]) : [goto];
  if (targets.length === 0)
    throw new UpdateFault("Command goes nowhere: its goto is an empty list; END ends here");
  return targets.map((target) => {
    if (target === END || (typeof target === "string" && def.nodes.has(target))) return target;
    if (!isInstance(target, Send))
      throw new UpdateFault(
        `Command goes to ${show(target)}, which is not a node${didYouMean(String(target), def.nodes.keys())}`,
      );
    const sent = sendTarget(def, target);
    if (typeof sent === "string") throw new UpdateFault(`Command sends to ${sent}`);
    return sent;
  });
}

/** A `Send`, checked and made of JSON; or why it goes nowhere. */
export function sendTarget(def: GraphDefinition, { node, value }: Send): Exclude<Target, string> | string {
  if (!def.nodes.has(node)) return `${show(node)}, which is not a node${didYouMean(node, def.nodes.keys())}`;
  const fault = jsonFault(value ?? null, "value");
  if (fault !== null) return `"${node}" what is not JSON at ${fault.path}: ${fault.problem}`;
  return { node, value: deepFreeze(jsonCopy((value ?? null) as Json)) };
}
