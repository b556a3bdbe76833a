/** Random cases: graphs as plain values, what their user code does, and what goes wrong on the way. */
import fc from "fast-check";

export type HoldKind = "none" | "plain" | "object" | "when";
export type Mode = "static" | "choose" | "list" | "send" | "command";
export type Decision = "approve" | "edit" | "respond" | "deny";

export interface NodeShape {
  readonly name: string;
  /** Where it leads: nodes declared behind it; none is END. */
  readonly to: readonly string[];
  readonly mode: Mode;
  /** A way back, as long as the log is shorter than this. */
  readonly back: { readonly to: string; readonly limit: number } | null;
  readonly before: HoldKind;
  readonly after: HoldKind;
  /** Calls of `ctx.interrupt` and `state.setInterrupt` (before), in order. */
  readonly asks: readonly ("request" | "manual")[];
  /** Both questions in one tick. */
  readonly together: boolean;
  readonly catches: boolean;
  readonly manualAfter: boolean;
  readonly once: readonly ("first" | "last")[];
  readonly says: boolean;
  /** Attempts of a task that throw before one comes through. */
  readonly fails: number;
  readonly retries: boolean;
  readonly onStop: "ignore" | "finish" | "throw";
  readonly onCrash: "hold" | "rerun" | null;
  readonly onDeny: string | null;
  readonly sub: GraphShape | null;
}

export interface GraphShape {
  readonly nodes: readonly NodeShape[];
  readonly entry: readonly string[];
  /** START leads to the entry by a conditional edge. */
  readonly routed: boolean;
  /** The node that this graph stands in; null at the root. */
  readonly inside: string | null;
}

/** What happens at the n-th thing that nodes do (`at`), or at the n-th commit of a run. */
export interface Trouble {
  readonly what:
    "stop" | "stop after step" | "stop before commit" | "die" | "die before commit" | "die after commit";
  readonly at: number;
}

export interface Case {
  readonly graph: GraphShape;
  readonly salt: number;
  /** How the driver behaves: order and grouping of answers, how long nodes take. Nothing of it may change the outcome. */
  readonly drive: number;
  readonly brokenEdges: boolean;
  readonly trouble: readonly Trouble[];
}

/** A number below `n`, the same for the same words. */
export function pick(n: number, ...words: readonly (string | number)[]): number {
  let hash = 2166136261;
  for (const char of words.join("\u0001")) hash = Math.imul(hash ^ char.charCodeAt(0), 16777619);
  hash = Math.imul(hash ^ (hash >>> 15), 2246822507);
  return ((hash ^ (hash >>> 13)) >>> 0) % n;
}

/** The field that an edit of this node's interrupts patches. */
export const noteOf = (node: string): string => `note_${node}`;

/** What of its state a node's behaviour depends on: all of it is settled once the step before has closed. */
export interface Seen {
  readonly log?: readonly string[] | undefined;
  readonly last?: string | undefined;
  readonly item?: string | undefined;
}

export const seenOf = ({ log, last, item = "" }: Seen): string =>
  log === undefined ? `sent ${item}` : `${log.length}.${pick(97, last ?? "")}.${item}`;

export type Way = string | { readonly node: string; readonly item: string };

/** What the edges of a node (or its Command) give. User code: it is the case's, not the engine's. */
export function waysOf({ name, to, mode, back }: NodeShape, state: Seen, salt: number): readonly Way[] {
  const at = state.log?.length ?? Infinity;
  const seen = seenOf(state);
  const returns = back !== null && at < back.limit ? [back.to] : [];
  if (to.length === 0) return returns;
  const first = pick(to.length, salt, name, "way", seen);
  const one = to[first] ?? "";
  switch (mode) {
    case "static":
      return [...to, ...returns];
    case "choose":
      return returns.length > 0 ? returns : [one];
    case "list":
    case "command":
      return [...to.filter((_, i) => i === first || pick(2, salt, name, i, seen) === 0), ...returns];
    case "send": {
      const count = 1 + pick(3, salt, name, "sends", seen);
      const sends = Array.from({ length: count }, (_, i) => ({
        node: to[(first + i) % to.length] ?? one,
        item: `${name}${i}/${seen}`,
      }));
      return [...sends, ...returns];
    }
  }
}

/** Whether a declared hold point holds a visit. */
export const holds = (kind: HoldKind, node: string, where: string, seen: string, salt: number): boolean =>
  kind === "plain" || kind === "object" || (kind === "when" && pick(3, salt, node, where, seen) > 0);

/** The words of a hold point object or of a question. */
export const wordsOf = (node: string, seen: string): string => `${node} at ${seen}?`;

/** How a person decides: by what is asked, never by when. */
export function decide(
  salt: number,
  of: { path: string; kind: string; key: string; words: string },
): Decision {
  const roll = pick(20, salt, "decide", of.path, of.kind, of.key, of.words);
  if (roll < 11) return "approve";
  if (roll < 15) return "edit";
  return of.kind === "request" && roll < 17 ? "respond" : "deny";
}

/** What an edit writes into the node's note. Of one node's tasks in one step: the same. */
export const noteBy = (kind: string, key: string): string => `${kind} ${key}`;

interface Gene {
  readonly parent: number;
  readonly extra: number;
  readonly mode: Mode;
  readonly back: number;
  readonly backTo: number;
  readonly before: HoldKind;
  readonly after: HoldKind;
  readonly asks: readonly ("request" | "manual")[];
  readonly flags: number;
  readonly once: readonly ("first" | "last")[];
  readonly fails: number;
  readonly onStop: NodeShape["onStop"];
  readonly onCrash: NodeShape["onCrash"];
  readonly onDeny: number;
  readonly sub?: { readonly genes: readonly Gene[]; readonly routed: boolean } | null;
}

const hold = fc.constantFrom<HoldKind>(
  "none",
  "none",
  "none",
  "none",
  "none",
  "none",
  "plain",
  "object",
  "when",
);
const leaf = {
  parent: fc.nat(7),
  extra: fc.nat(7),
  mode: fc.constantFrom<Mode>("static", "static", "choose", "list", "send", "command"),
  back: fc.constantFrom(0, 0, 0, 1, 2, 4),
  backTo: fc.nat(5),
  before: hold,
  after: hold,
  asks: fc.constantFrom<readonly ("request" | "manual")[]>(
    [],
    [],
    [],
    [],
    [],
    [],
    ["request"],
    ["manual"],
    ["request", "request"],
    ["manual", "request"],
    ["request", "manual"],
  ),
  flags: fc.nat(31),
  once: fc.constantFrom<readonly ("first" | "last")[]>([], ["first"], ["last"], ["first", "last"]),
  fails: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2),
  onStop: fc.constantFrom<NodeShape["onStop"]>("ignore", "finish", "throw"),
  onCrash: fc.constantFrom<NodeShape["onCrash"]>(null, null, "rerun", "hold"),
  onDeny: fc.nat(5),
};

function genes(depth: number, size: { min: number; max: number }): fc.Arbitrary<readonly Gene[]> {
  const sub =
    depth === 0
      ? fc.constant(null)
      : fc.option(fc.record({ genes: genes(depth - 1, { min: 1, max: 2 }), routed: fc.boolean() }), {
          freq: 3,
        });
  const gene: fc.Arbitrary<Gene> = fc.record({ ...leaf, sub });
  return fc.array(gene, { minLength: size.min, maxLength: size.max });
}

function grow(list: readonly Gene[], routed: boolean, inside: string | null): GraphShape {
  const names = list.map((_, i) => `${inside ?? ""}${String.fromCharCode(65 + i)}`);
  const name = (i: number): string => names[i] ?? "";
  const parents = list.map(({ parent }, i) => parent % (i + 1));
  const nodes = list.map((gene, i): NodeShape => {
    const behind = names.slice(i + 1);
    const extra = gene.extra < 4 ? [] : behind.slice(gene.extra - 4, gene.extra - 3);
    const children = names.filter((_, j) => j > i && parents[j] === i + 1);
    const flag = (bit: number): boolean => (gene.flags & (1 << bit)) !== 0;
    const sub = gene.sub == null ? null : grow(gene.sub.genes, gene.sub.routed, name(i));
    return {
      ...gene,
      name: name(i),
      to: [...new Set([...children, ...extra])],
      mode: sub !== null && gene.mode === "command" ? "list" : gene.mode,
      back: gene.back === 0 ? null : { to: name(gene.backTo % (i + 1)), limit: gene.back },
      asks: sub === null ? gene.asks : [],
      once: sub === null ? gene.once : [],
      together: flag(0) && gene.asks.every((ask) => ask === "request"),
      catches: flag(1),
      manualAfter: flag(2) && flag(3) && sub === null && gene.after === "none",
      says: flag(3),
      retries: flag(4),
      onDeny: gene.onDeny < 2 ? null : (behind[gene.onDeny - 2] ?? null),
      sub,
    };
  });
  return { nodes, entry: names.filter((_, i) => parents[i] === 0), routed, inside };
}

const trouble: fc.Arbitrary<Trouble> = fc.record({
  what: fc.constantFrom<Trouble["what"]>(
    "stop",
    "stop after step",
    "stop before commit",
    "die",
    "die before commit",
    "die after commit",
  ),
  at: fc.integer({ min: 1, max: 25 }),
});

/** Graphs of 2 to 5 nodes, any of which may be a graph of one or two, and so may theirs. */
export const anyCases: fc.Arbitrary<Case> = fc
  .record({
    genes: genes(2, { min: 2, max: 5 }),
    routed: fc.boolean(),
    salt: fc.nat(0xffff),
    drive: fc.nat(0xffff),
    brokenEdges: fc.constantFrom(false, false, false, true),
    trouble: fc.array(trouble, { maxLength: 3 }),
  })
  .map(({ genes: list, routed, ...rest }) => ({ ...rest, graph: grow(list, routed, null) }));
