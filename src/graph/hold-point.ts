import { END, OFFERED, type DecisionKind, type HoldPoint, type NodeState } from "../engine/index.js";
import { asJsonSchema, expiryOf } from "../runs/index.js";

/** A declared hold point before it is checked. */
export type DeclaredHold = string | { readonly node: string; readonly [option: string]: unknown };

const FUNCTIONS = ["when", "message", "data"] as const;
const OTHERS = ["decisions", "responseSchema", "named", "onDeny", "expiresIn", "onExpiry"];
const KNOWN = new Set(["node", ...FUNCTIONS, ...OTHERS]);
/** Promised by the design, not there yet: a rule about money that is silently ignored would be worse than none. */
const LATER = ["approvals", "approvers", "excludeRequester"];

/** Hold points by node, and every fault. A node named twice holds once, by its object. */
export function holdPoints(
  declared: readonly DeclaredHold[] | "*" | undefined,
  nodes: Iterable<string>,
  list: string,
): { holds: Map<string, HoldPoint>; faults: string[] } {
  const faults: string[] = [];
  const holds = new Map<string, HoldPoint>();
  for (const each of declared === "*" ? [...nodes] : (declared ?? [])) {
    if (typeof each === "string") {
      if (!holds.has(each)) holds.set(each, { node: each, plain: true });
      continue;
    }
    const { hold, faults: found } = fromObject(each, list);
    faults.push(...found);
    if (holds.get(each.node)?.plain === false)
      faults.push(`${list}: "${each.node}" has two hold point objects`);
    holds.set(each.node, hold);
  }
  return { holds, faults };
}

function fromObject(
  given: Exclude<DeclaredHold, string>,
  list: string,
): { hold: HoldPoint; faults: string[] } {
  const at = `${list} of "${given.node}"`;
  const faults: string[] = [];
  for (const option of Object.keys(given)) {
    if (given[option] === undefined || KNOWN.has(option)) continue;
    faults.push(
      LATER.includes(option)
        ? `${at}: ${option} is not supported yet`
        : `${at}: there is no option "${option}"`,
    );
  }
  for (const name of FUNCTIONS) {
    if (given[name] !== undefined && typeof given[name] !== "function")
      faults.push(`${at}: ${name} is a function of the state`);
  }
  const decisions = given.decisions as readonly DecisionKind[] | undefined;
  faults.push(...decisionFaults(decisions).map((fault) => `${at}: ${fault}`));
  if (given.onDeny !== undefined && typeof given.onDeny !== "string")
    faults.push(`${at}: onDeny is the name of a node, or ${END}`);
  let responseSchema: HoldPoint["responseSchema"] = null;
  try {
    responseSchema = asJsonSchema(given.responseSchema);
  } catch (error) {
    faults.push(`${at}: responseSchema: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { expiresIn, onExpiry } = given;
  const { expiry, faults: expiryFaults } = expiryOf(
    { expiresIn, onExpiry },
    {
      decisions: decisions ?? OFFERED.before,
      responseSchema: responseSchema ?? null,
    },
  );
  faults.push(...expiryFaults.map((fault) => `${at}: ${fault}`));
  const functions = Object.fromEntries(
    FUNCTIONS.flatMap((name) =>
      given[name] === undefined ? [] : [[name, given[name] as (state: NodeState) => unknown]],
    ),
  );
  return {
    faults,
    hold: {
      node: given.node,
      plain: false,
      ...functions,
      ...(decisions === undefined ? {} : { decisions }),
      responseSchema,
      named: given.named === true,
      ...(typeof given.onDeny === "string" ? { onDeny: given.onDeny } : {}),
      ...expiry,
    },
  };
}

function decisionFaults(decisions: readonly DecisionKind[] = OFFERED.before): string[] {
  const refused = decisions.filter((decision) => !OFFERED.before.includes(decision));
  const offered = OFFERED.before.join(", ");
  return [
    ...(refused.length > 0
      ? [`a hold point does not offer ${refused.join(", ")}; it offers ${offered}`]
      : []),
    ...(decisions.length === 0 ? ["decisions is empty: nobody could answer"] : []),
  ];
}
