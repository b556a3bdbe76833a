/** Tells of a request that may begin a run as soon as its header is here: a stop that comes while its body is read stops it. */
import type { FastifyInstance, onRequestHookHandler, preValidationHookHandler } from "fastify";
import { THREAD_ID, type Arrival, type Runtime } from "../runs/index.js";
import { TENANT } from "./route-context.js";

declare module "fastify" {
  interface FastifyRequest {
    /** Of a request that may begin a run. Its route says when that is decided; its end does so too. */
    arrival: Arrival | undefined;
  }
}

export function registerArrivals(app: FastifyInstance): void {
  app.decorateRequest("arrival", undefined);
}

export const announce =
  (runtime: Runtime): onRequestHookHandler =>
  (request, reply, done) => {
    const { id: threadId = "" } = request.params as { id?: string };
    // The route refuses what is no id.
    if (THREAD_ID.test(threadId)) {
      const arrival = runtime.runs.arrive({ tenant: TENANT, threadId });
      request.arrival = arrival;
      reply.raw.once("close", () => arrival.decided());
    }
    done();
  };

export const wasRead: preValidationHookHandler = (request, _reply, done) => {
  request.arrival?.read();
  done();
};
