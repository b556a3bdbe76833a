import { json, pageOf, problems, TENANT, threadRef, type App, type RouteContext } from "../route-context.js";
import {
  pageQuery,
  patchBody,
  runParams,
  stateQuery,
  threadBody,
  threadParams,
  threadsQuery,
  type MessagesBody,
} from "../schemas/bodies.js";
import { listOf, messageModel, runModel, stateModel, threadModel } from "../schemas/models.js";
import { wireRun, wireStateView, wireThread } from "../wire.js";
import { stateFields } from "./runs.js";
import { z } from "zod";
import type { ThreadStatus } from "../../engine/index.js";

/** Threads as things: create, list, look at, patch, delete. */
export function threadRoutes(app: App, context: RouteContext): void {
  createRoute(app, context);
  listRoute(app, context);
  threadRoute(app, context);
  deleteRoute(app, context);
  stateRoute(app, context);
  patchRoute(app, context);
  messagesRoute(app, context);
  runsRoute(app, context);
  oneRunRoute(app, context);
}

function createRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.post(
    "/threads",
    {
      config: { permission: "run" },
      schema: {
        operationId: "createThread",
        summary: "Create a thread",
        tags: ["threads"],
        body: threadBody,
        response: { 201: json("The thread", threadModel), ...problems(400, 404, 409, 413, 422, 503) },
      },
    },
    async (request, reply) => {
      const { thread_id: threadId, graph, metadata } = request.body;
      const ref = threadId === undefined ? undefined : threadRef(threadId);
      const thread = wireThread(await threads.create(TENANT, { threadId: ref?.threadId, graph, metadata }));
      return reply.code(201).header("Location", `/threads/${thread.thread_id}`).send(thread);
    },
  );
}

function listRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.get(
    "/threads",
    {
      config: { permission: "read" },
      schema: {
        operationId: "listThreads",
        summary: "List threads, newest first",
        tags: ["threads"],
        querystring: threadsQuery,
        response: { 200: json("Threads", listOf(threadModel)), ...problems(400, 422, 503) },
      },
    },
    async (request) => {
      const { status, graph } = request.query;
      const statuses: readonly ThreadStatus[] | null =
        status === undefined
          ? null
          : status === "interrupted"
            ? ["interrupted_before", "interrupted_after"]
            : [status];
      const page = await threads.list(TENANT, { statuses, graph: graph ?? null }, pageOf(request.query));
      return { items: page.items.map(wireThread), next_cursor: page.next };
    },
  );
}

function threadRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.get(
    "/threads/:id",
    {
      config: { permission: "read" },
      schema: {
        operationId: "getThread",
        summary: "One thread, with its open interrupts",
        tags: ["threads"],
        params: threadParams,
        response: { 200: json("The thread", threadModel), ...problems(404, 422, 503) },
      },
    },
    async (request) => wireThread(await threads.get(threadRef(request.params.id))),
  );
}

function deleteRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.delete(
    "/threads/:id",
    {
      config: { permission: "control" },
      schema: {
        operationId: "deleteThread",
        summary: "Delete a thread; the record of its decisions stays",
        tags: ["threads"],
        params: threadParams,
        response: { 204: z.null().describe("Deleted"), ...problems(404, 409, 422, 503) },
      },
    },
    async (request, reply) => {
      await threads.remove(threadRef(request.params.id));
      return reply.code(204).send(null);
    },
  );
}

function stateRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.get(
    "/threads/:id/state",
    {
      config: { permission: "read" },
      schema: {
        operationId: "getState",
        summary: "The state, now or at a checkpoint",
        tags: ["threads"],
        params: threadParams,
        querystring: stateQuery,
        response: { 200: json("The state", stateModel), ...problems(404, 422, 503) },
      },
    },
    async (request) =>
      wireStateView(await threads.state(threadRef(request.params.id), request.query.checkpoint)),
  );
}

function patchRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.patch(
    "/threads/:id/state",
    {
      config: { permission: "control" },
      schema: {
        operationId: "patchState",
        summary: "Patch the state while no run is active",
        tags: ["threads"],
        params: threadParams,
        body: patchBody,
        response: { 200: json("The state", stateModel), ...problems(400, 404, 409, 413, 422, 503) },
      },
    },
    async (request) => {
      const { state = {}, messages } = request.body;
      return wireStateView(
        await threads.patch(threadRef(request.params.id), {
          messages: messages as MessagesBody,
          fields: stateFields(state),
        }),
      );
    },
  );
}

function messagesRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.get(
    "/threads/:id/messages",
    {
      config: { permission: "read" },
      schema: {
        operationId: "listMessages",
        summary: "The messages, oldest first",
        tags: ["threads"],
        params: threadParams,
        querystring: pageQuery,
        response: { 200: json("Messages", listOf(messageModel)), ...problems(400, 404, 422, 503) },
      },
    },
    async (request) => {
      const page = await threads.messages(threadRef(request.params.id), pageOf(request.query));
      return { items: page.items as never[], next_cursor: page.next };
    },
  );
}

function runsRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.get(
    "/threads/:id/runs",
    {
      config: { permission: "read" },
      schema: {
        operationId: "listRuns",
        summary: "The runs, newest first",
        tags: ["threads"],
        params: threadParams,
        querystring: pageQuery,
        response: { 200: json("Runs", listOf(runModel)), ...problems(400, 404, 422, 503) },
      },
    },
    async (request) => {
      const page = await threads.runs(threadRef(request.params.id), pageOf(request.query));
      return { items: page.items.map(wireRun), next_cursor: page.next };
    },
  );
}

function oneRunRoute(app: App, { runtime: { threads } }: RouteContext): void {
  app.get(
    "/threads/:id/runs/:run_id",
    {
      config: { permission: "read" },
      schema: {
        operationId: "getRun",
        summary: "One run",
        tags: ["threads"],
        params: runParams,
        response: { 200: json("The run", runModel), ...problems(404, 422, 503) },
      },
    },
    async (request) => wireRun(await threads.run(threadRef(request.params.id), request.params.run_id)),
  );
}
