import type { FastifyInstance } from "fastify";
import { HoldpointError } from "../errors.js";
import { isRecord, MAX_DEPTH } from "../lib/json.js";

/** A body is read as JSON whatever its Content-Type says (`curl -d` says a form), and an empty one is `{}`. */
export function registerJsonBody(app: FastifyInstance): void {
  app.addHook("preValidation", (request, _reply, done) => {
    request.body ??= {};
    done();
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<string>("*", { parseAs: "string" }, (_request, text, done) => {
    try {
      done(null, parseBody(text));
    } catch (error) {
      done(error as Error);
    }
  });
}

/** Throws `malformed_body`, `too_deep`, and `validation_failed` for keys that no object may carry. */
function parseBody(text: string): unknown {
  if (text.trim() === "") return {};
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new HoldpointError(
      "malformed_body",
      `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  // Fastify says null for no body at all, which is an empty one.
  if (body === null) throw refused("validation_failed", "", "the body is null; send an object");
  refuseOddities(body, "", 0);
  return body;
}

function refuseOddities(value: unknown, path: string, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth >= MAX_DEPTH)
    throw refused("too_deep", path.slice(0, 200), `nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) refuseOddities(item, `${path}[${i}]`, depth + 1);
  } else if (isRecord(value)) {
    for (const [key, member] of Object.entries(value)) {
      const at = path === "" ? key : `${path}.${key}`;
      if (key === "__proto__")
        throw refused("validation_failed", at, "this key is not taken: copies of the object would lose it");
      refuseOddities(member, at, depth + 1);
    }
  }
}

const refused = (code: "too_deep" | "validation_failed", path: string, message: string): HoldpointError =>
  new HoldpointError(code, `${path}: ${message}`, { errors: [{ path, message }] });
