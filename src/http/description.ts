import type { FastifyDynamicSwaggerOptions } from "@fastify/swagger";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import type { OpenAPIV3_1 } from "openapi-types";

/** What `/openapi.yaml` says beside the routes: of whom it is, its parts, and that there are no credentials yet. */
export const description = (version: string): FastifyDynamicSwaggerOptions => ({
  openapi: {
    openapi: "3.1.0",
    info: {
      title: "Holdpoint",
      version,
      description:
        "Runs agent graphs, holds them where a person must sign off, and goes on exactly where they stopped.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/", description: "The server that this description came from" }],
    // No operation takes credentials in this release: who may call is a matter of the host name and the origin.
    security: [],
    tags: [
      { name: "runs", description: "Start a run, stop it" },
      { name: "decisions", description: "What waits for a person, and the answers" },
      { name: "streams", description: "A thread's events, as they happen and as they were" },
      { name: "threads", description: "Threads, their state, messages and runs" },
      { name: "graphs", description: "What this server runs" },
      { name: "service", description: "Whether the server lives and works" },
    ],
  },
  transform: jsonSchemaTransform,
  transformObject: (document) => {
    const api = jsonSchemaTransformObject(document) as OpenAPIV3_1.Document;
    optionalBodies(api);
    dropUnused(api);
    return api;
  },
});

/** An empty body is `{}`, so no operation requires one. */
function optionalBodies(api: OpenAPIV3_1.Document): void {
  for (const path of Object.values(api.paths ?? {}))
    for (const operation of Object.values(path ?? {}))
      if (
        isOperation(operation) &&
        operation.requestBody !== undefined &&
        "required" in operation.requestBody
      )
        operation.requestBody.required = false;
}

const isOperation = (value: unknown): value is OpenAPIV3_1.OperationObject =>
  typeof value === "object" && value !== null && "responses" in value;

/** Every model is described twice, as it is sent and as it is answered; what no operation refers to is left out. */
function dropUnused({ paths, components }: OpenAPIV3_1.Document): void {
  const schemas = components?.schemas ?? {};
  const used = new Set<string>();
  const visit = (part: unknown): void => {
    for (const [, name = ""] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      visit(schemas[name]);
    }
  };
  visit(paths);
  for (const name of Object.keys(schemas)) if (!used.has(name)) Reflect.deleteProperty(schemas, name);
}
