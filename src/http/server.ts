import cors from "@fastify/cors";
import swagger from "@fastify/swagger";
import Fastify, { LogController, type FastifyBaseLogger } from "fastify";
import { validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import { stringify } from "yaml";
import { HoldpointError } from "../errors.js";
import type { Runtime } from "../runs/index.js";
import { registerArrivals } from "./arrival.js";
import { description } from "./description.js";
import { callerRefusal, registerGuard } from "./guard.js";
import { registerIdempotencyKeys } from "./idempotency-key.js";
import { registerJsonBody } from "./json-body.js";
import { registerProblems, sendProblem } from "./problem.js";
import type { App, RouteContext } from "./route-context.js";
import { graphRoutes } from "./routes/graphs.js";
import { inboxStreamRoutes } from "./routes/inbox-stream.js";
import { interruptRoutes } from "./routes/interrupts.js";
import { runRoutes } from "./routes/runs.js";
import { serviceRoutes } from "./routes/service.js";
import { streamRoutes } from "./routes/stream.js";
import { historyRoutes } from "./routes/history.js";
import { threadRoutes } from "./routes/threads.js";
import { registerShutdown } from "./shutdown.js";

export interface HttpOptions {
  readonly corsOrigins: readonly string[];
  /** Bytes. */
  readonly bodyLimit: number;
  readonly sseHeartbeatMs: number;
  readonly sseRetryMs: number;
  readonly sseStallMs: number;
  readonly version: string;
}

/** Builds the HTTP face over a runtime. It does not listen: that is the caller's. */
export async function buildServer(
  runtime: Runtime,
  options: HttpOptions,
  log?: FastifyBaseLogger,
): Promise<App> {
  const app = Fastify({
    ...(log === undefined ? {} : { loggerInstance: log }),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.bodyLimit,
    // Open streams would keep a closing server alive for ever.
    forceCloseConnections: true,
    // Until then every request has an answer of ours.
    return503OnClosing: false,
    routerOptions: { maxParamLength: 100_000 },
    // A path that cannot be decoded reaches neither a route nor a hook, so the guard is asked here.
    frameworkErrors: (_error, request, reply) => {
      void sendProblem(
        reply,
        callerRefusal(request.headers, options.corsOrigins) ?? undecodable(request.url),
      );
    },
  }).withTypeProvider<ZodTypeProvider>();

  app.setValidatorCompiler(validatorCompiler);
  // Answers are typed by their schemas; checking them again would cost each answer, and a mismatch its caller.
  app.setSerializerCompiler(() => JSON.stringify);
  registerJsonBody(app);
  registerIdempotencyKeys(app);
  registerArrivals(app);
  registerProblems(app);
  registerShutdown(app, runtime);
  registerGuard(app, options.corsOrigins);

  await app.register(cors, {
    origin: [...options.corsOrigins],
    methods: ["GET", "HEAD", "POST", "PATCH", "DELETE"],
    exposedHeaders: ["Location", "Content-Location", "Retry-After"],
    // An OPTIONS that asks for no method is a question as any other, and no fault.
    strictPreflight: false,
  });
  // What `/openapi.yaml` is made from; it must be there before the routes are.
  await app.register(swagger, description(options.version));

  const context: RouteContext = {
    runtime,
    sse: { heartbeatMs: options.sseHeartbeatMs, retryMs: options.sseRetryMs, stallMs: options.sseStallMs },
  };
  let openapi: string | null = null;
  runRoutes(app, context);
  streamRoutes(app, context);
  threadRoutes(app, context);
  historyRoutes(app, context);
  interruptRoutes(app, context);
  inboxStreamRoutes(app, context);
  graphRoutes(app, context);
  serviceRoutes(app, context, () => (openapi ??= openapiOf(app)));
  await app.ready();
  return app;
}

function undecodable(url: string): HoldpointError {
  const [, kind, id = ""] = url.split("/");
  const code = kind === "threads" && !isDecodable(id) ? "invalid_thread_id" : "not_found";
  return new HoldpointError(code, "the path is not percent-encoded UTF-8");
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The API description, from the route schemas. */
function openapiOf(app: App): string {
  return stringify(app.swagger(), { lineWidth: 0, aliasDuplicateObjects: false });
}
