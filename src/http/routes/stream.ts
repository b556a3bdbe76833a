import { isActive } from "../../engine/index.js";
import { HoldpointError } from "../../errors.js";
import { problems, threadRef, type App, type RouteContext } from "../route-context.js";
import { streamQuery, threadParams } from "../schemas/bodies.js";
import { frame } from "../sse/frame.js";
import { respondWithEvents } from "../sse/respond.js";
import { eventStream } from "./runs.js";
import { z } from "zod";

/** Attach to a thread's stream: any reader, at any time, from any cursor. */
export function streamRoutes(app: App, { runtime, sse }: RouteContext): void {
  app.get(
    "/threads/:id/stream",
    {
      // A HEAD would run the stream, and wait for its end without a byte.
      exposeHeadRoute: false,
      config: { permission: "read" },
      schema: {
        operationId: "attachToStream",
        summary: "Attach to the thread's stream; a browser's EventSource works",
        tags: ["streams"],
        params: threadParams,
        querystring: streamQuery,
        response: {
          200: eventStream,
          204: z.null().describe("Nothing is newer and nothing runs"),
          ...problems(400, 404, 409, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const ref = threadRef(request.params.id);
      const cursor = cursorOf(request.headers["last-event-id"], request.query.after);
      const follow = request.query.follow === "true";
      const start = await runtime.runs.reader.attach(ref, cursor);
      if (start.nothing && !follow) return reply.code(204).send(null);
      const { head, after, gap, wished } = start;
      const contentLocation = head.runId === null ? null : `/threads/${ref.threadId}/runs/${head.runId}`;
      const running = head.status === "running";
      await respondWithEvents(
        reply,
        {
          batches: (signal) =>
            runtime.runs.reader.batches(ref, after, { signal, wished, ...ending(head.runId) }),
          frame,
          contentLocation,
          gap,
        },
        sse,
      );

      function ending(runId: string | null): { until?: string; idle?: () => Promise<boolean> } {
        if (follow) return { idle: () => runtime.runs.reader.isGone(ref) };
        if (running && runId !== null && head.queued === 0) return { until: runId };
        if (isActive(head.status)) return { idle: () => runtime.runs.reader.isQuiet(ref) };
        return { idle: () => Promise.resolve(true) };
      }
    },
  );
}

/** `Last-Event-ID`, else `?after=`; null without either. Throws `bad_cursor`. */
export function cursorOf(header: string | string[] | undefined, query: string | undefined): number | null {
  const given = typeof header === "string" && header !== "" ? header : query;
  if (given === undefined) return null;
  if (!/^\d{1,15}$/.test(given)) {
    throw new HoldpointError(
      "bad_cursor",
      `${JSON.stringify(given.slice(0, 60))} is no cursor: send the id of the last event you have, or 0 for all of them`,
    );
  }
  return Number(given);
}
