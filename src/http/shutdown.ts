import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import type { Runtime } from "../runs/index.js";

/** Milliseconds for answers that are under way when nothing keeps them waiting any more. */
const LINGER_MS = 2000;

/** How a server that shuts down lets its clients go: none of them meets a connection that breaks off. */
export function registerShutdown(app: FastifyInstance, runtime: Runtime): void {
  const open = new Set<ServerResponse>();
  let onEmpty: (() => void) | undefined;

  app.addHook("onRequest", (_request, reply, done) => {
    const { raw } = reply;
    open.add(raw);
    raw.once("close", () => {
      open.delete(raw);
      if (open.size === 0) onEmpty?.();
    });
    // A stream's header is sent before `onSend` would be asked.
    if (runtime.draining) void reply.header("Connection", "close");
    done();
  });
  app.addHook("onSend", (_request, reply, payload, done) => {
    if (runtime.draining) void reply.header("Connection", "close");
    done(null, payload);
  });
  app.addHook("preClose", async () => {
    // First: a reader that is let go and comes back at once must be refused by the socket, which an EventSource takes for
    // a pause, not by an answer, which it takes for the end.
    app.server.close();
    runtime.leave();
    if (open.size === 0) return;
    const timeout = new AbortController();
    const empty = new Promise<void>((resolve) => (onEmpty = resolve));
    const late = sleep(LINGER_MS, undefined, { signal: timeout.signal }).catch(() => undefined);
    await Promise.race([empty, late]);
    timeout.abort();
  });
}
