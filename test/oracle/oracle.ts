/**
 * What a case must come to, written from the design (engine, sections 2 to 8) alone. It knows no runs, pauses, crashes, stops
 * or times: none of these may make a difference. It plays one visit after the other and asks the deciding person at once.
 */
import {
  decide,
  holds,
  noteBy,
  noteOf,
  seenOf,
  waysOf,
  wordsOf,
  type Case,
  type Decision,
  type GraphShape,
  type HoldKind,
  type NodeShape,
  type Way,
} from "./shape.js";

export interface Foretold {
  readonly state: Readonly<Record<string, unknown>>;
  readonly steps: number;
  readonly messages: readonly string[];
  /** "path" of each visit whose node ran, "path key" of each effect, "path kind key decision" of each question. */
  readonly ran: readonly string[];
  readonly effects: readonly string[];
  readonly asked: readonly string[];
}

interface State extends Record<string, unknown> {
  log: readonly string[];
  last: string;
}
/** A function node's whole state where a `Send` made it due. */
type Sent = Record<string, unknown> & { item: string };

interface Update {
  readonly log: readonly string[];
  readonly last: string;
}
interface Result {
  readonly updates: readonly Update[];
  readonly messages: readonly string[];
  readonly denied: boolean;
  readonly goto?: readonly Way[];
}
const DENIED: Result = { updates: [], messages: [], denied: true };

/** More visits than this are too many for one case. */
const MOST = 14;
class TooBig extends Error {}

/** What the case comes to; null where it takes too many visits and questions. */
export function foretell(given: Case): Foretold | null {
  try {
    return told(given);
  } catch (error) {
    if (error instanceof TooBig) return null;
    throw error;
  }
}

function told({ graph, salt }: Case): Foretold {
  const ran: string[] = [];
  const effects: string[] = [];
  const asked: string[] = [];
  let steps = 0;

  const ask = (path: string, kind: string, key: string, words: string): Decision => {
    const decision = decide(salt, { path, kind, key, words });
    asked.push(`${path} ${kind} ${key} ${decision}`);
    return decision;
  };
  const patch = (state: Record<string, unknown>, node: NodeShape, kind: string, key: string): void => {
    state[noteOf(node.name)] = noteBy(kind, key);
  };

  /** A declared hold point; the decision, or null where it does not hold. */
  function held(
    hold: HoldKind,
    where: "before" | "after",
    node: NodeShape,
    path: string,
    state: Record<string, unknown>,
  ) {
    const seen = seenOf(state);
    if (!holds(hold, node.name, where, seen, salt)) return null;
    const decision = ask(path, where, where, hold === "plain" ? "" : wordsOf(node.name, seen));
    if (decision === "edit") patch(state, node, where, where);
    return decision;
  }

  /** A graph, from its entry to where nothing is due. What is denied in it and meets no `onDeny` denies it. */
  function play(shape: GraphShape, state: State, above: string): Result {
    const updates: Update[] = [];
    const messages: string[] = [];
    let denied = false;
    const node = (name: string): NodeShape => shape.nodes.find((each) => each.name === name) as NodeShape;
    let due: readonly Way[] = shape.entry;
    while (due.length > 0) {
      const tasks = due.map((way) =>
        typeof way === "string"
          ? { node: node(way), sent: null, path: `${above}${way}` }
          : { node: node(way.node), sent: { item: way.item }, path: `${above}${way.node}` },
      );
      const results = tasks.map((task) => visit(task.node, task.path, task.sent ?? state));
      steps++;
      for (const { updates: each, messages: said } of results) {
        for (const { log, last } of each) Object.assign(state, { log: [...state.log, ...log], last });
        updates.push(...each);
        messages.push(...said);
      }
      const ends = tasks.map(
        (task, i) => results[i]?.denied === true || reviewed(task.node, task.path, state) === "deny",
      );
      const next = tasks.flatMap((task, i): readonly Way[] => {
        if (!ends[i]) return results[i]?.goto ?? waysOf(task.node, state, salt);
        if (task.node.onDeny === null) denied = true;
        return task.node.onDeny === null ? [] : [task.node.onDeny];
      });
      due = inOrder(shape, next);
    }
    return { updates, messages, denied };
  }

  /** What is asked when a step has closed. */
  function reviewed(node: NodeShape, path: string, state: State): Decision | null {
    if (!node.manualAfter) return held(node.after, "after", node, path, state);
    const key = `#${node.asks.length}`;
    const decision = ask(path, "manual", key, "");
    if (decision === "edit") patch(state, node, "manual", key);
    return decision;
  }

  /** One visit. `view` is what it sees and what a patch goes to. */
  function visit(node: NodeShape, path: string, view: State | Sent): Result {
    if (ran.length + asked.length > MOST) throw new TooBig();
    if (held(node.before, "before", node, path, view) === "deny") return DENIED;
    if (node.sub !== null) {
      return play(node.sub, innerState(node, view), `${path}.`);
    }
    ran.push(path);
    if (node.once.includes("first")) effects.push(`${path} first`);
    const words = wordsOf(node.name, seenOf(view));
    const tokens: string[] = [];

    /** Questions that are open together: patches in their order, then what a denial means. */
    const answered = (keys: readonly number[]): boolean => {
      let goesOn = true;
      for (const k of keys) {
        const kind = node.asks[k] ?? "request";
        const decision = ask(path, kind, `#${k}`, kind === "manual" ? "" : words);
        if (decision === "edit") patch(view, node, kind, `#${k}`);
        if (decision === "deny" && (kind === "manual" || !node.catches)) goesOn = false;
        if (kind === "request") tokens.push(decision);
      }
      return goesOn;
    };
    let open: number[] = [];
    for (const [k, kind] of node.asks.entries()) {
      open.push(k);
      const last = k === node.asks.length - 1;
      if (kind === "manual" || (node.together && !last)) continue;
      if (!answered(open)) return DENIED;
      open = [];
    }
    // `setInterrupt` lets its attempt go on to the end.
    if (node.once.includes("last")) effects.push(`${path} last`);
    if (!answered(open)) return DENIED;

    const entry = entryOf(node, view, tokens);
    return {
      updates: [{ log: [entry], last: entry }],
      messages: node.says ? [entry] : [],
      denied: false,
      ...(node.mode === "command" ? { goto: waysOf(node, view, salt) } : {}),
    };
  }

  const state: State = { log: [], last: "", item: "" };
  for (const { name } of graph.nodes) state[noteOf(name)] = "";
  const { messages } = play(graph, state, "");
  return { state, steps, messages, ran: ran.sort(), effects: effects.sort(), asked: asked.sort() };
}

/** The fields of one name are shared; of a `Send`, those that it gives. */
function innerState(node: NodeShape, view: State | Sent): State {
  const { log = [], last = "", item = "" } = view as Partial<State>;
  const own = noteOf(node.name);
  return { log, last, item, [own]: view[own] ?? "" };
}

/** What a node adds to the log: what it saw, and what it was answered. */
export function entryOf(
  node: NodeShape,
  view: Readonly<Record<string, unknown>>,
  tokens: readonly string[],
): string {
  const notes = [node.name, node.name.slice(0, -1)].map(
    (name) => (view[noteOf(name)] as string | undefined) ?? "",
  );
  return [node.name, seenOf(view), ...notes, ...tokens].join("|");
}

/** By declaration; a node to which several lead runs once, each Send is a task of its own. */
function inOrder(shape: GraphShape, ways: readonly Way[]): readonly Way[] {
  const place = (way: Way): number =>
    shape.nodes.findIndex(({ name }) => name === (typeof way === "string" ? way : way.node));
  return ways
    .filter((way, i) => typeof way !== "string" || ways.indexOf(way) === i)
    .sort((a, b) => place(a) - place(b));
}
