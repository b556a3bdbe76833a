import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { invalid } from "../../errors.js";
import type { RunHandle, Waiting } from "../../runs/index.js";
import { announce, wasRead } from "../arrival.js";
import { preferHeader, preferredWait } from "../prefer.js";
import { keyHeader, takeKey } from "../idempotency-key.js";
import {
  ANONYMOUS,
  notSupported,
  problems,
  runConfig,
  TENANT,
  threadRef,
  type App,
  type RouteContext,
} from "../route-context.js";
import {
  decisionBody,
  interruptParams,
  resumeBody,
  runBody,
  stopBody,
  threadParams,
  type DecisionBody,
  type MessagesBody,
  type ResumeBody,
  type RunBody,
} from "../schemas/bodies.js";
import { eventModel } from "../schemas/events.js";
import { runResultModel, stopReceiptModel } from "../schemas/models.js";
import { frame } from "../sse/frame.js";
import { respondWithEvents, type SseOptions } from "../sse/respond.js";
import { wireReceipt, wireResult } from "../wire.js";
import { extended } from "../../lib/extended.js";

const result = {
  description: "The run's result",
  content: { "application/json": { schema: runResultModel } },
};
const accepted = { ...result, description: "The run as it stands: accepted, and not awaited" };
export const eventStream = {
  description: "The events, one a frame",
  content: { "text/event-stream": { schema: eventModel } },
};
const resultOrStream = {
  description: "The run's result, or its events if `Accept: text/event-stream`",
  content: { ...result.content, ...eventStream.content },
};

const headers = z.looseObject({ ...keyHeader, ...preferHeader });
const keyOnly = z.looseObject(keyHeader);

/** Start, resume, decide, stop. */
export function runRoutes(app: App, context: RouteContext): void {
  runRoute(app, context);
  streamRoute(app, context);
  resumeRoute(app, context);
  decisionRoute(app, context);
  stopRoute(app, context);
}

function runRoute(app: App, { runtime }: RouteContext): void {
  app.post(
    "/threads/:id/run",
    {
      config: { permission: "run" },
      onRequest: announce(runtime),
      preValidation: [wasRead, takeKey],
      schema: {
        operationId: "startRun",
        summary: "Start a run and wait for it",
        tags: ["runs"],
        params: threadParams,
        headers,
        body: runBody,
        response: { 200: result, 202: accepted, ...problems(400, 404, 409, 413, 422, 503) },
      },
    },
    async (request, reply) => {
      const { params, body, requestKey: key } = request;
      const waitMs = preferredWait(request.headers.prefer);
      const handle = await runtime.runs.start(extended(startRequest(params.id, body), { key }));
      request.arrival?.decided();
      return replyWithResult(reply, handle, waitMs);
    },
  );
}

function streamRoute(app: App, { runtime, sse }: RouteContext): void {
  app.post(
    "/threads/:id/stream",
    {
      config: { permission: "run" },
      onRequest: announce(runtime),
      preValidation: [wasRead, takeKey],
      schema: {
        operationId: "streamRun",
        summary: "Start a run and stream it",
        tags: ["runs"],
        params: threadParams,
        headers: keyOnly,
        body: runBody,
        response: { 200: eventStream, ...problems(400, 404, 409, 413, 422, 503) },
      },
    },
    async (request, reply) => {
      const { params, body, requestKey: key } = request;
      const handle = await runtime.runs.start(extended(startRequest(params.id, body), { key }));
      request.arrival?.decided();
      return streamRun(reply, sse, handle);
    },
  );
}

function resumeRoute(app: App, { runtime, sse }: RouteContext): void {
  app.post(
    "/threads/:id/resume",
    {
      config: { permission: "decide" },
      onRequest: announce(runtime),
      preValidation: [wasRead, takeKey],
      schema: {
        operationId: "resumeThread",
        summary: "Answer interrupts, or continue a stopped or failed thread",
        tags: ["decisions"],
        params: threadParams,
        headers,
        body: resumeBody,
        response: { 200: resultOrStream, 202: accepted, ...problems(400, 404, 409, 410, 413, 422, 503) },
      },
    },
    async (request, reply) => {
      const { params, body, requestKey: key } = request;
      const waitMs = preferredWait(request.headers.prefer);
      const resumed = await runtime.runs.resume(extended(resumeRequest(params.id, body), { key }));
      request.arrival?.decided();
      return replyToResume(request, reply, { sse, waitMs }, resumed);
    },
  );
}

function decisionRoute(app: App, { runtime, sse }: RouteContext): void {
  app.post(
    "/interrupts/:id/decision",
    {
      config: { permission: "decide" },
      preValidation: takeKey,
      schema: {
        operationId: "decideInterrupt",
        summary: "Answer one interrupt by its id",
        tags: ["decisions"],
        params: interruptParams,
        headers,
        body: decisionBody,
        response: { 200: resultOrStream, 202: accepted, ...problems(400, 404, 409, 410, 413, 422, 503) },
      },
    },
    async (request, reply) => {
      const { params, body, requestKey: key } = request;
      const waitMs = preferredWait(request.headers.prefer);
      const { id, threadId } = await runtime.threads.interrupt(TENANT, params.id);
      const resumed = await runtime.runs.resume(
        extended(resumeRequest(threadId, { interrupt_id: id, ...body }), { key }),
      );
      return replyToResume(request, reply, { sse, waitMs }, resumed);
    },
  );
}

function stopRoute(app: App, { runtime }: RouteContext): void {
  app.post(
    "/threads/:id/stop",
    {
      config: { permission: "control" },
      preValidation: takeKey,
      schema: {
        operationId: "stopThread",
        summary: "End the current run",
        tags: ["runs"],
        params: threadParams,
        headers: keyOnly,
        body: stopBody,
        response: {
          200: {
            description: "What the stop met and did",
            content: { "application/json": { schema: stopReceiptModel } },
          },
          ...problems(400, 404, 413, 422, 503),
        },
      },
    },
    async (request) => {
      const { mode, reason } = request.body;
      return wireReceipt(
        await runtime.runs.stop(threadRef(request.params.id), {
          mode,
          by: ANONYMOUS,
          key: request.requestKey,
          ...(reason === undefined ? {} : { reason }),
        }),
      );
    },
  );
}

/** The run's result; or, where the caller prefers not to wait so long, the run as it stands and where to ask for it. */
async function replyWithResult(
  reply: FastifyReply,
  handle: RunHandle,
  waitMs: number | null,
): Promise<ReturnType<typeof wireResult>> {
  if (waitMs !== 0) untilClosed(reply, handle.attend());
  if (waitMs === null) return wireResult(await handle.outcome());
  const result = waitMs === 0 ? null : await handle.outcomeWithin(waitMs);
  if (result !== null) return wireResult(result);
  void reply
    .code(202)
    .header("Location", `/threads/${handle.threadId}/runs/${handle.runId}`)
    .header("Preference-Applied", waitMs === 0 ? "respond-async" : `wait=${waitMs / 1000}`);
  return wireResult(await handle.current());
}

/** Calls `leave` when the caller is gone, or has its answer. */
function untilClosed({ raw }: FastifyReply, leave: () => void): void {
  // One that left while its run was being accepted has no further event.
  if (raw.destroyed || raw.closed) leave();
  else raw.once("close", leave);
}

function streamRun(reply: FastifyReply, sse: SseOptions, handle: RunHandle): Promise<void> {
  const contentLocation = `/threads/${handle.threadId}/runs/${handle.runId}`;
  return respondWithEvents(reply, { batches: handle.batches, frame, contentLocation }, sse);
}

/** What a resume answers: 202 while answers are missing, else the run's result or its events. */
async function replyToResume(
  request: FastifyRequest,
  reply: FastifyReply,
  { sse, waitMs }: { readonly sse: SseOptions; readonly waitMs: number | null },
  resumed: RunHandle | Waiting,
): Promise<ReturnType<typeof wireResult> | undefined> {
  if (resumed.kind === "waiting") {
    void reply.code(202);
    return wireResult(resumed.result);
  }
  if (!(request.headers.accept ?? "").includes("text/event-stream"))
    return replyWithResult(reply, resumed, waitMs);
  await streamRun(reply, sse, resumed);
  return undefined;
}

function startRequest(threadId: string, body: RunBody) {
  const { messages, context_summary: contextSummary, ...fields } = body.input ?? {};
  return {
    ref: threadRef(threadId),
    graph: body.graph,
    input: { messages: messages as MessagesBody, fields: withSummary(fields, contextSummary, "input") },
    config: runConfig(body.config),
    onBusy: body.on_busy,
    onDisconnect: body.on_disconnect,
    by: ANONYMOUS,
  };
}

function resumeRequest(threadId: string, body: ResumeBody | (DecisionBody & { interrupt_id: string })) {
  if ("goto" in body && body.goto !== undefined && body.goto !== null) throw notSupported("goto", "goto");
  const one = (said: DecisionBody & { interrupt_id?: string | undefined }) => ({
    interruptId: said.interrupt_id,
    decision: said.decision,
    reason: said.reason,
    data: said.data,
    state: said.state === undefined ? undefined : stateFields(said.state),
    messages: said.messages as MessagesBody,
  });
  return {
    ref: threadRef(threadId),
    ...one(body),
    answers: "answers" in body ? body.answers?.map(one) : undefined,
    config: runConfig(body.config),
    by: ANONYMOUS,
  };
}

/** The state's fields as the library names them. */
export function stateFields({
  context_summary: contextSummary,
  ...fields
}: Record<string, unknown>): Record<string, unknown> {
  return withSummary(fields, contextSummary, "state");
}

/** Throws `validation_failed` for the name that the summary has in the library. */
function withSummary(
  fields: Record<string, unknown>,
  contextSummary: unknown,
  within: "input" | "state",
): Record<string, unknown> {
  if ("contextSummary" in fields)
    throw invalid([
      { path: `${within}.contextSummary`, message: 'is no field; it is "context_summary" here' },
    ]);
  return contextSummary === undefined ? fields : { ...fields, contextSummary };
}
