import { InMemoryCheckpointer } from "../checkpoint/memory/index.js";
import { VERSION } from "../app.js";
import { buildServer } from "../http/index.js";
import { Runtime } from "../runs/index.js";
import { createLogger } from "../telemetry/index.js";

/** Prints the API description; it needs no database and no graphs. */
export async function openapi(): Promise<void> {
  const runtime = new Runtime({
    checkpointer: new InMemoryCheckpointer(),
    log: createLogger("silent", false),
  });
  const server = await buildServer(runtime, {
    corsOrigins: [],
    bodyLimit: 1,
    sseHeartbeatMs: 1,
    sseRetryMs: 1,
    sseStallMs: 1,
    version: VERSION,
  });
  const { body } = await server.inject({ url: "/openapi.yaml", headers: { host: "localhost" } });
  process.stdout.write(body);
  await server.close();
}
