import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ERRORS, HoldpointError, type Category, type ErrorCode, type ValidationFault } from "../errors.js";
import type { Answer, Interrupt } from "../engine/index.js";
import { wireDecision, wireInterrupt } from "./wire.js";

/** The one place where a category becomes a status. */
const STATUS: Record<Category, number> = {
  malformed: 400,
  forbidden: 403,
  missing: 404,
  conflict: 409,
  gone: 410,
  "too-large": 413,
  invalid: 422,
  unavailable: 503,
  internal: 500,
  run: 500,
};

interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly [more: string]: unknown;
}

/** An error as problem details (RFC 9457), with what helps to go on beside it. */
function problemOf(error: HoldpointError): Problem {
  const { code, category, message, details } = error;
  return {
    ...wireDetails(details),
    ...runLocation(details),
    type: `urn:holdpoint:error:${code}`,
    title: ERRORS[code].message,
    status: STATUS[category],
    detail: message,
    code,
  };
}

/** Where to ask for the run that it names. */
const runLocation = ({ thread_id: thread, run_id: run }: HoldpointError["details"]): { location?: string } =>
  typeof thread === "string" && typeof run === "string" ? { location: `/threads/${thread}/runs/${run}` } : {};

function wireDetails(details: HoldpointError["details"]): Record<string, unknown> {
  const { interrupts, decision, ...rest } = details;
  return {
    ...rest,
    ...(interrupts === undefined ? {} : { interrupts: (interrupts as Interrupt[]).map(wireInterrupt) }),
    ...(decision === undefined || decision === null ? {} : { decision: wireDecision(decision as Answer) }),
  };
}

export function sendProblem(reply: FastifyReply, error: HoldpointError): FastifyReply {
  const problem = problemOf(error);
  if (problem.status === 503) void reply.header("Retry-After", "1");
  return reply.code(problem.status).type("application/problem+json").serializer(JSON.stringify).send(problem);
}

/** Everything that goes wrong in a request leaves as a problem; what is not the caller's is logged. */
export function registerProblems(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = asHoldpointError(error);
    if (known.category === "internal") request.log.error({ err: error }, "a request failed inside Holdpoint");
    return sendProblem(reply, known);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new HoldpointError(
        "not_found",
        `there is no ${request.method} ${pathOf(request)}; GET /openapi.yaml lists what is there`,
      ),
    ),
  );
}

const pathOf = (request: FastifyRequest): string => request.url.split("?", 1)[0] ?? "";

function asHoldpointError(error: FastifyError): HoldpointError {
  if (error instanceof HoldpointError) return error;
  if (error.validation !== undefined) {
    const within =
      error.validationContext === "querystring"
        ? "query"
        : error.validationContext === "params"
          ? "path"
          : "";
    const errors = error.validation.map((issue): ValidationFault => {
      const path = [within, ...issue.instancePath.split("/")].filter((part) => part !== "").join(".");
      return { path, message: issue.message ?? "is not valid" };
    });
    return new HoldpointError(
      "validation_failed",
      errors.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; "),
      { errors },
    );
  }
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new HoldpointError(
        "payload_too_large",
        "the body is larger than this server takes; HOLDPOINT_BODY_LIMIT raises it",
      );
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return new HoldpointError("malformed_body", "the body is not as long as its Content-Length says");
    default:
      return new HoldpointError(
        "internal_error",
        "the server failed to answer this request; its log says why",
      );
  }
}
