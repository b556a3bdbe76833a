/** Idempotency keys: whose request a key names, and what was accepted under it. */
import { createHash } from "node:crypto";
import type { Checkpointer, RequestKey, UsedKey } from "../checkpoint/checkpointer.js";
import { HoldpointError } from "../errors.js";
import { canonicalJson } from "../lib/json.js";

const LIFETIME_MS = 24 * 60 * 60 * 1000;

const digest = (value: unknown): string => createHash("sha256").update(canonicalJson(value)).digest("hex");

/** The client's `key` belongs to person, method and path; `path` has its parts decoded. */
export function requestKey(of: {
  readonly by: string;
  readonly method: string;
  readonly path: readonly string[];
  readonly key: string;
  readonly body: unknown;
}): RequestKey {
  return {
    key: digest([of.by, of.method, of.path, of.key]),
    body: digest(of.body),
    expiresAt: new Date(Date.now() + LIFETIME_MS).toISOString(),
  };
}

/** When the request of this key came in. */
export const cameAt = ({ expiresAt }: Pick<RequestKey, "expiresAt">): string =>
  new Date(Date.parse(expiresAt) - LIFETIME_MS).toISOString();

/** What was accepted under this key; null where nothing was. Throws `idempotency_key_reused`. */
export async function acceptedBefore(
  checkpointer: Checkpointer,
  tenant: string,
  key: RequestKey,
): Promise<UsedKey | null> {
  const used = await checkpointer.usedKey(tenant, key.key);
  if (used !== null && used.body !== key.body) {
    throw new HoldpointError(
      "idempotency_key_reused",
      "a request with this Idempotency-Key and another body was accepted here; send that body again, or another key",
    );
  }
  return used;
}
