import { problems, TENANT, type App, type RouteContext } from "../route-context.js";
import { inboxStreamQuery } from "../schemas/bodies.js";
import { inboxEventModel } from "../schemas/models.js";
import { inboxFrame } from "../sse/frame.js";
import { respondWithEvents } from "../sse/respond.js";
import { cursorOf } from "./stream.js";

/** The inbox as a stream: what opens and what is decided, over all threads. */
export function inboxStreamRoutes(app: App, { runtime, sse }: RouteContext): void {
  app.get(
    "/interrupts/stream",
    {
      // A HEAD would run the stream, and wait for its end without a byte.
      exposeHeadRoute: false,
      config: { permission: "read" },
      schema: {
        operationId: "followInbox",
        summary:
          "The inbox as a stream: what is open now, then what opens and what is decided; it does not end",
        tags: ["decisions", "streams"],
        querystring: inboxStreamQuery,
        response: {
          200: {
            description: "The changes, one a frame",
            content: { "text/event-stream": { schema: inboxEventModel } },
          },
          ...problems(400, 409, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { after, graph = null } = request.query;
      const start = await runtime.inbox.attach(TENANT, cursorOf(request.headers["last-event-id"], after));
      await respondWithEvents(
        reply,
        {
          batches: (signal) => singly(runtime.inbox.events(start, { graph, signal })),
          frame: inboxFrame,
          contentLocation: null,
          gap: start.gap,
        },
        sse,
      );
    },
  );
}

async function* singly<Event>(
  events: AsyncIterable<Event>,
): AsyncGenerator<readonly Event[], void, undefined> {
  for await (const event of events) yield [event];
}
