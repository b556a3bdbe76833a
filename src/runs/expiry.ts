import { EXPIRIES, type Ask, type DecisionKind, type OnExpiry } from "../engine/index.js";
import { durationMs } from "../lib/duration.js";
import type { Json } from "../lib/json.js";
import { show } from "../lib/show.js";
import { checkData } from "./response-schema.js";

export interface Expiry {
  readonly expiry: Pick<Ask, "expiresIn" | "onExpiry">;
  readonly faults: readonly string[];
}

/** How long a question waits and what its expiry does, as declared; and everything that is wrong with it. */
export function expiryOf(
  declared: { readonly expiresIn?: unknown; readonly onExpiry?: unknown },
  of: { readonly decisions: readonly DecisionKind[]; readonly responseSchema: Json },
): Expiry {
  const { expiresIn: given, onExpiry = "fail" } = declared;
  const faults: string[] = [];
  if (given === undefined) {
    if (declared.onExpiry !== undefined) faults.push("onExpiry without expiresIn: it would never come");
    return { expiry: {}, faults };
  }
  const expiresIn = durationMs(given);
  if (expiresIn === null)
    faults.push(
      `expiresIn: ${show(given)} is no time; write "24h", "90s", "500ms" (units are ms, s, m, h, d), or a number of milliseconds`,
    );
  if (!isOnExpiry(onExpiry)) {
    faults.push(`onExpiry: ${show(onExpiry)} is none of ${EXPIRIES.join(", ")}`);
    return { expiry: {}, faults };
  }
  if (onExpiry !== "fail" && !of.decisions.includes(onExpiry))
    faults.push(`onExpiry: "${onExpiry}" is not among its decisions, ${of.decisions.join(", ")}`);
  // Nobody is there to give the data that an approval needs.
  if (onExpiry === "approve" && checkData(of.responseSchema, null).length > 0)
    faults.push('onExpiry: "approve" answers without data, which responseSchema does not take');
  return { expiry: expiresIn === null ? {} : { expiresIn, onExpiry }, faults };
}

const isOnExpiry = (word: unknown): word is OnExpiry => EXPIRIES.some((known) => known === word);
