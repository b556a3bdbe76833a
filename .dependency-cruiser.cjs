/** Who may import whom. Each comment says what to do instead. The picture is in docs/architecture.md. */
const only = (name, from, to, comment) => ({ name, severity: "error", comment, from, to });

module.exports = {
  forbidden: [
    only(
      "no-circles",
      {},
      { circular: true },
      "Two modules that need each other share a third: move what both need below them.",
    ),
    only(
      "lib-imports-nothing",
      { path: "^src/lib/" },
      {},
      "lib holds leaves: if it needs the engine, it belongs to the engine; if it needs another leaf, to that leaf.",
    ),
    only(
      "errors-import-lib",
      { path: "^src/errors\\.ts$" },
      { pathNot: "^src/lib/" },
      "The error table is a leaf above lib: pass what it should say as details.",
    ),
    only(
      "engine-is-pure",
      { path: "^src/engine/" },
      { pathNot: "^src/(engine|lib)/|^src/errors\\.ts$" },
      "The engine takes values and gives values: do the I/O in runs/ and pass the result in.",
    ),
    only(
      "ports-know-the-engine",
      { path: "^src/(checkpoint|events)/[^/]+\\.ts$" },
      { path: "^src/", pathNot: "^src/$1/[^/]+\\.ts$|^src/(engine|lib)/|^src/errors\\.ts$" },
      "A port is told what it needs by values of the engine.",
    ),
    only(
      "adapters-know-their-port",
      { path: "^src/checkpoint/[^/]+/" },
      { path: "^src/", pathNot: "^src/(checkpoint|engine|lib)/|^src/errors\\.ts$" },
      "An adapter keeps what the port hands it: put what it should know into the port's values.",
    ),
    only(
      "adapters-are-strangers",
      { path: "^src/checkpoint/([^/]+)/" },
      { path: "^src/checkpoint/[^/]+/", pathNot: "^src/checkpoint/$1/" },
      "What both adapters need is part of the port.",
    ),
    only(
      "runs-stand-on-ports",
      { path: "^src/runs/" },
      { path: "^src/", pathNot: "^src/(runs|engine|checkpoint|events|telemetry|lib)/|^src/errors\\.ts$" },
      "The run manager is told its checkpointer and options by app.ts: take an argument.",
    ),
    only(
      "the-library-stands-on-runs",
      { path: "^src/(graph|agents|protocols)/" },
      { path: "^src/", pathNot: "^src/($1|runs|engine|lib|checkpoint)/|^src/errors\\.ts$" },
      "The library's face knows no server: put what both faces need into runs/.",
    ),
    only(
      "http-is-a-face",
      { path: "^src/http/" },
      {
        path: "^src/",
        pathNot: "^src/(http|runs|graph|protocols|auth|events|telemetry|engine|lib)/|^src/errors\\.ts$",
      },
      "A route asks the run service; storage is below it.",
    ),
    only(
      "http-knows-graphs-by-type",
      { path: "^src/http/" },
      { path: "^src/graph/", dependencyTypesNot: ["type-only"] },
      "The faces stand beside each other: put what both need into runs/, what only one needs into that one.",
    ),
    only(
      "the-client-stands-alone",
      { path: "^src/client/" },
      { pathNot: "^src/client/|node_modules/eventsource-parser/" },
      "Browsers load the client: it takes its types from openapi.yaml, what the platform has, and one parser.",
    ),
    only(
      "nobody-needs-the-client",
      { path: "^src/", pathNot: "^src/client/" },
      { path: "^src/client/" },
      "The client is for others: what the server needs too is written in src/lib.",
    ),
    only(
      "only-roots-pick-adapters",
      {
        path: "^src/",
        pathNot: "^src/(app|index)\\.ts$|^src/cli/|^src/graph/runtime-for\\.ts$|^src/checkpoint/",
      },
      { path: "^src/checkpoint/[^/]+/" },
      "Take a Checkpointer; app.ts, cli and index.ts choose which.",
    ),
    only(
      "the-default-is-memory",
      { path: "^src/graph/runtime-for\\.ts$" },
      { path: "^src/checkpoint/[^/]+/", pathNot: "^src/checkpoint/memory/" },
      "A graph compiled without a checkpointer lives in memory; whoever wants more passes one.",
    ),
    only(
      "databases-in-their-adapter",
      { path: "^src/", pathNot: "^src/checkpoint/postgres/" },
      { path: "node_modules/(pg|pg-[^/]+|@electric-sql)/" },
      "Only the PostgreSQL adapter speaks SQL: add a method to the port.",
    ),
    only(
      "fastify-in-http",
      { path: "^src/", pathNot: "^src/http/" },
      { path: "node_modules/(fastify|@fastify|fastify-[^/]+)/" },
      "Only http knows Fastify: hand it plain values.",
    ),
    only(
      "src-stands-alone",
      { path: "^src/" },
      { path: "^(test|bench|console|examples|scripts)/" },
      "What the product needs lives in src.",
    ),
    only(
      "inside-not-through-the-door",
      { path: "^src/([^/]+)/.+" },
      { path: "^src/$1/index\\.ts$" },
      "Inside a folder import the file itself: its index is for others.",
    ),
    only(
      "through-the-front-door",
      { path: "^src/([^/]+)" },
      { path: "^src/(?!lib/|checkpoint/)[^/]+/(?!index\\.ts$)", pathNot: "^src/$1/" },
      "Enter another folder by its index.ts; only lib has none.",
    ),
    only(
      "storage-has-doors-too",
      { path: "^src/", pathNot: "^src/checkpoint/" },
      { path: "^src/checkpoint/(?!checkpointer\\.ts$|[^/]+/index\\.ts$)" },
      "The port is entered by checkpointer.ts, an adapter by its index.ts.",
    ),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
      extensions: [".ts", ".js", ".d.ts"],
    },
  },
};
