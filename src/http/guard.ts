import type { IncomingHttpHeaders } from "node:http";
import type { FastifyInstance } from "fastify";
import { HoldpointError } from "../errors.js";
import { isLoopback } from "../lib/loopback.js";

/** Who may call at all, before anything is read; and no route begins that does not say what its caller must be allowed to do. */
export function registerGuard(app: FastifyInstance, allowedOrigins: readonly string[]): void {
  app.addHook("onRoute", (route) => {
    if (route.config?.permission === undefined && route.method !== "OPTIONS")
      throw new Error(`${String(route.method)} ${route.url} declares no permission`);
  });
  app.addHook("onRequest", (request, reply, done) => {
    const refusal = callerRefusal(request.headers, allowedOrigins);
    // A cache must not give one origin's refusal to another.
    if (refusal !== null) reply.header("Vary", "Origin");
    done(refusal ?? undefined);
  });
}

/**
 * Why this caller is not answered, or null. A page of another origin must not reach a server that trusts its network, nor
 * a name that an attacker points at it (DNS rebinding).
 */
export function callerRefusal(
  { origin, host = "" }: IncomingHttpHeaders,
  allowedOrigins: readonly string[],
): HoldpointError | null {
  if (!isLoopback(host.replace(/:\d+$/, ""))) {
    return new HoldpointError(
      "host_not_allowed",
      `this server answers to loopback names only, not to ${JSON.stringify(host)}; call it as 127.0.0.1 or localhost`,
    );
  }
  if (origin !== undefined && !allowedOrigins.includes(origin) && !isOwn(origin, host)) {
    return new HoldpointError(
      "origin_not_allowed",
      `pages of ${JSON.stringify(origin)} may not call this server; HOLDPOINT_CORS_ORIGINS lists those that may`,
    );
  }
  return null;
}

const isOwn = (origin: string, host: string): boolean =>
  origin === `http://${host}` || origin === `https://${host}`;
