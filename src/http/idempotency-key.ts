import type { FastifyInstance, preValidationHookHandler } from "fastify";
import { z } from "zod";
import { invalid } from "../errors.js";
import { requestKey, type RequestKey } from "../runs/index.js";
import { ANONYMOUS } from "./route-context.js";

const NAME = "idempotency-key";
const LONGEST = 255;

declare module "fastify" {
  interface FastifyRequest {
    /** The client's idempotency key, where the route takes one and the client sent one. */
    requestKey: RequestKey | undefined;
  }
}

/** The header, as a route's description has it; `takeKey` reads it. */
export const keyHeader = {
  "Idempotency-Key": z
    .string()
    .min(1)
    .max(LONGEST)
    .optional()
    .describe(
      "Yours to choose, for 24 hours: the same request with the same key is done once, and answered what it was answered",
    ),
};

export function registerIdempotencyKeys(app: FastifyInstance): void {
  app.decorateRequest("requestKey", undefined);
}

/** Reads the key, before the body gets its defaults: bodies are compared as they were sent. */
export const takeKey: preValidationHookHandler = (request, _reply, done) => {
  try {
    const key = keyOf(request.raw.headersDistinct[NAME] ?? []);
    const { method, body } = request;
    const path = [request.routeOptions.url ?? "", ...Object.values(request.params as Record<string, string>)];
    if (key !== undefined) request.requestKey = requestKey({ by: ANONYMOUS, method, path, key, body });
    done();
  } catch (error) {
    done(error as Error);
  }
};

/** Throws `validation_failed`. */
function keyOf([key, ...more]: readonly string[]): string | undefined {
  const refused = (message: string) => invalid([{ path: "Idempotency-Key", message }]);
  if (more.length > 0) throw refused("it is sent twice");
  if (key === "") throw refused("it is empty");
  if (key !== undefined && key.length > LONGEST) throw refused(`it is longer than ${LONGEST} characters`);
  return key;
}
