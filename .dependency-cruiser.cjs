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
      { pathNot: "^src/lib/" },
      "lib holds leaves: if it needs the engine, it belongs to the engine.",
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
      { path: "^src/", pathNot: "^src/(checkpoint|events|engine|lib)/[^/]+\\.ts$|^src/errors\\.ts$" },
      "A port is told what it needs by values of the engine.",
    ),
    only(
      "runs-stand-on-ports",
      { path: "^src/runs/" },
      {
        path: "^src/(http|auth|graph|agents|protocols|cli)/|^src/(app|main|config|index)\\.ts$|^src/checkpoint/(memory|postgres)/",
      },
      "The run manager is told its checkpointer and options by app.ts: take an argument.",
    ),
    only(
      "graph-stands-on-runs",
      { path: "^src/graph/" },
      { path: "^src/(http|auth|cli)/|^src/(app|main|config|index)\\.ts$|^src/checkpoint/postgres/" },
      "The library's face knows no server: put what both faces need into runs/.",
    ),
    only(
      "http-is-a-face",
      { path: "^src/http/" },
      { path: "^src/checkpoint/|^src/(app|main|config|index)\\.ts$|^src/cli/" },
      "A route asks the run service; storage is below it.",
    ),
    only(
      "only-roots-pick-adapters",
      {
        path: "^src/",
        pathNot:
          "^src/(app|index)\\.ts$|^src/cli/|^src/graph/runtime-for\\.ts$|^src/checkpoint/(memory|postgres)/",
      },
      { path: "^src/checkpoint/(memory|postgres)/" },
      "Take a Checkpointer; app.ts, cli and index.ts choose which.",
    ),
    only(
      "adapters-are-strangers",
      { path: "^src/checkpoint/memory/" },
      { path: "^src/checkpoint/postgres/" },
      "What both adapters need is part of the port.",
    ),
    only(
      "adapters-are-strangers-2",
      { path: "^src/checkpoint/postgres/" },
      { path: "^src/checkpoint/memory/" },
      "What both adapters need is part of the port.",
    ),
    only(
      "databases-in-their-adapter",
      { path: "^src/", pathNot: "^src/checkpoint/postgres/" },
      { path: "node_modules/(pg|@electric-sql)/" },
      "Only the PostgreSQL adapter speaks SQL: add a method to the port.",
    ),
    only(
      "fastify-in-http",
      { path: "^src/", pathNot: "^src/http/" },
      { path: "node_modules/(fastify|@fastify|fastify-type-provider-zod)/" },
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
      { path: "^src/([^/]+)/" },
      { path: "^src/(engine|runs|events|graph|http|cli|telemetry)/(?!index\\.ts$)", pathNot: "^src/$1/" },
      "Enter another folder by its index.ts.",
    ),
    only(
      "through-the-front-door-from-roots",
      { path: "^src/[^/]+\\.ts$" },
      { path: "^src/(engine|runs|events|graph|http|telemetry)/(?!index\\.ts$)" },
      "Enter a folder by its index.ts.",
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
