import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { z } from "zod";
import { HoldpointError } from "../errors.js";
import { THREAD_ID, type Runtime, type ThreadRef } from "../runs/index.js";
import type { ConfigBody, PageQuery } from "./schemas/bodies.js";
import { problemModel } from "./schemas/models.js";
import type { SseOptions } from "./sse/respond.js";

/** What every route has: the run manager, and how streams are sent. */
export interface RouteContext {
  readonly runtime: Runtime;
  readonly sse: SseOptions;
}

/** A Fastify whose schemas are zod's. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** What a caller must be allowed to do; `public` is written out. Scopes are those of the contract. */
type Permission = "public" | "read" | "run" | "decide" | "control";

declare module "fastify" {
  interface FastifyContextConfig {
    permission?: Permission;
  }
}

/** Without credentials there is one tenant, and everybody is `anonymous`. */
export const TENANT = "default";
export const ANONYMOUS = "anonymous";

/** Throws `invalid_thread_id`. */
export function threadRef(id: string): ThreadRef {
  if (!THREAD_ID.test(id)) {
    const shown =
      id.length > 60 ? `${JSON.stringify(id.slice(0, 60))}… (${id.length} characters)` : JSON.stringify(id);
    throw new HoldpointError(
      "invalid_thread_id",
      `${shown} is no thread id: it has 1 to 128 characters of A-Z a-z 0-9 . _ : -`,
    );
  }
  return { tenant: TENANT, threadId: id };
}

export const pageOf = ({ limit, cursor }: PageQuery): { limit: number; cursor: string | null } => ({
  limit,
  cursor: cursor ?? null,
});

export function runConfig(config: ConfigBody | undefined) {
  return {
    recursionLimit: config?.recursion_limit,
    interruptBefore: config?.interrupt_before,
    interruptAfter: config?.interrupt_after,
    metadata: config?.metadata,
  };
}

const REFUSALS = {
  400: "The body is not JSON, or the cursor is not one of this server",
  403: "The origin or the host name is not allowed",
  404: "There is no such thing",
  409: "The thread, or the interrupt, is not in a condition for it",
  410: "The interrupt was not answered in time",
  413: "The body is too large",
  422: "The request does not fit",
  503: "The database does not answer, or the server is shutting down",
} as const;

/** An answer as JSON, for a route's description. */
export const json = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: { "application/json": { schema } },
});

/** The problems that a route may answer with, for its description. Any route may refuse a foreign origin or host. */
export function problems(...statuses: (keyof typeof REFUSALS)[]): Record<number, unknown> {
  return Object.fromEntries(
    ([403, ...statuses] as const).map((status) => [
      status,
      {
        description: `${REFUSALS[status]}. Problem details (RFC 9457) with a \`code\``,
        content: { "application/problem+json": { schema: problemModel } },
      },
    ]),
  );
}

/** Refuses what the contract has and this release has not, rather than ignoring it. */
export function notSupported(path: string, what: string): HoldpointError {
  const message = `${what} is not supported by this release yet`;
  return new HoldpointError("not_supported", `${path}: ${message}`, { errors: [{ path, message }] });
}
