import { pageOf, problems, TENANT, type App, type RouteContext } from "../route-context.js";
import { interruptParams, interruptsQuery } from "../schemas/bodies.js";
import { interruptModel, listOf } from "../schemas/models.js";
import { wireInterrupt } from "../wire.js";

/** The inbox: what waits for a person, over all threads. */
export function interruptRoutes(app: App, { runtime }: RouteContext): void {
  app.get(
    "/interrupts",
    {
      config: { permission: "read" },
      schema: {
        operationId: "listInterrupts",
        summary: "The inbox, newest first",
        tags: ["decisions"],
        querystring: interruptsQuery,
        response: {
          200: {
            description: "Interrupts",
            content: { "application/json": { schema: listOf(interruptModel) } },
          },
          ...problems(400, 422, 503),
        },
      },
    },
    async (request) => {
      const { status, graph } = request.query;
      const page = await runtime.threads.interrupts(
        TENANT,
        { status, graph: graph ?? null },
        pageOf(request.query),
      );
      return { items: page.items.map(wireInterrupt), next_cursor: page.next };
    },
  );

  app.get(
    "/interrupts/:id",
    {
      config: { permission: "read" },
      schema: {
        operationId: "getInterrupt",
        summary: "One interrupt, with its decision",
        tags: ["decisions"],
        params: interruptParams,
        response: {
          200: { description: "The interrupt", content: { "application/json": { schema: interruptModel } } },
          ...problems(404, 503),
        },
      },
    },
    async (request) => wireInterrupt(await runtime.threads.interrupt(TENANT, request.params.id)),
  );
}
