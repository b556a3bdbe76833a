import { problems, type App, type RouteContext } from "../route-context.js";
import { graphParams } from "../schemas/bodies.js";
import { graphModel, listOf } from "../schemas/models.js";
import { wireGraph } from "../wire.js";

/** What this server runs. */
export function graphRoutes(app: App, { runtime }: RouteContext): void {
  app.get(
    "/graphs",
    {
      config: { permission: "read" },
      schema: {
        operationId: "listGraphs",
        summary: "The graphs of this server",
        tags: ["graphs"],
        response: {
          200: { description: "Graphs", content: { "application/json": { schema: listOf(graphModel) } } },
          ...problems(),
        },
      },
    },
    () => ({ items: runtime.graphs.all().map(wireGraph), next_cursor: null }),
  );

  app.get(
    "/graphs/:name",
    {
      config: { permission: "read" },
      schema: {
        operationId: "getGraph",
        summary: "One graph",
        tags: ["graphs"],
        params: graphParams,
        response: {
          200: { description: "The graph", content: { "application/json": { schema: graphModel } } },
          ...problems(404),
        },
      },
    },
    (request) => wireGraph(runtime.graphs.get(request.params.name)),
  );
}
