import { json, pageOf, problems, threadRef, type App, type RouteContext } from "../route-context.js";
import { forkBody, pageQuery, threadParams } from "../schemas/bodies.js";
import { checkpointModel, listOf, threadModel } from "../schemas/models.js";
import { wireCheckpoint, wireThread } from "../wire.js";

/** What a thread was: its checkpoints, and new threads made of them. */
export function historyRoutes(app: App, context: RouteContext): void {
  checkpointsRoute(app, context);
  forkRoute(app, context);
}

function checkpointsRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.get(
    "/threads/:id/checkpoints",
    {
      config: { permission: "read" },
      schema: {
        operationId: "listCheckpoints",
        summary: "The history, newest first",
        tags: ["threads"],
        params: threadParams,
        querystring: pageQuery,
        response: { 200: json("Checkpoints", listOf(checkpointModel)), ...problems(400, 404, 422, 503) },
      },
    },
    async (request) => {
      const page = await threads.checkpoints(threadRef(request.params.id), pageOf(request.query));
      return { items: page.items.map(wireCheckpoint), next_cursor: page.next };
    },
  );
}

function forkRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.post(
    "/threads/:id/fork",
    {
      config: { permission: "run" },
      schema: {
        operationId: "forkThread",
        summary: "Make a thread of a checkpoint; it runs nothing until it is resumed",
        tags: ["threads"],
        params: threadParams,
        body: forkBody,
        response: { 201: json("The new thread", threadModel), ...problems(400, 404, 409, 413, 422, 503) },
      },
    },
    async (request, reply) => {
      const { checkpoint_id: checkpointId, thread_id: threadId } = request.body;
      const to = threadId === undefined ? undefined : threadRef(threadId).threadId;
      const made = await threads.fork(threadRef(request.params.id), { checkpointId, threadId: to });
      const thread = wireThread(made);
      return reply.code(201).header("Location", `/threads/${thread.thread_id}`).send(thread);
    },
  );
}
