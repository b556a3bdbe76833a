import type { Json } from "../../lib/json.js";
import type { RequestKey, UsedKey } from "../checkpointer.js";

/** Idempotency keys of accepted requests. */
export class RequestKeys {
  readonly #keys = new Map<string, UsedKey>();

  find(tenant: string, key: string): UsedKey | null {
    const found = this.#keys.get(nameOf(tenant, key));
    return found === undefined || Date.parse(found.expiresAt) <= Date.now() ? null : found;
  }

  isUsed(tenant: string, key: RequestKey | undefined): boolean {
    return key !== undefined && this.find(tenant, key.key) !== null;
  }

  use(tenant: string, of: RequestKey | undefined, threadId: string, runId: string | null): void {
    if (of === undefined) return;
    const { key, body, expiresAt } = of;
    this.#keys.set(nameOf(tenant, key), { body, threadId, runId, answer: null, expiresAt });
  }

  answer(tenant: string, key: string, answer: Json): void {
    const found = this.#keys.get(nameOf(tenant, key));
    if (found !== undefined) this.#keys.set(nameOf(tenant, key), { ...found, answer });
  }
}

const nameOf = (tenant: string, key: string): string => JSON.stringify([tenant, key]);
