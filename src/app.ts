/** The composition root: the only place of the server that picks adapters and joins parts. */
import type { Checkpointer } from "./checkpoint/checkpointer.js";
import type { Settings } from "./config.js";
import { loadGraphs } from "./graph/index.js";
import { buildServer } from "./http/index.js";
import { Runtime, type RuntimeOptions } from "./runs/index.js";
import type { PinoLogger } from "./telemetry/index.js";

export const VERSION = "0.1.0";

export interface App {
  readonly runtime: Runtime;
  readonly server: Awaited<ReturnType<typeof buildServer>>;
  readonly graphs: readonly string[];
  /** Refuses new work, lets steps finish for at most `ms`, ends streams, closes the storage. */
  close(ms: number): Promise<void>;
}

/**
 * Everything joined and started, but not listening. Throws where a graph does not load or the storage cannot be had, and where
 * `stop` aborts before it was: then nothing is left open.
 */
export async function buildApp(
  settings: Settings,
  checkpointer: Checkpointer,
  log: PinoLogger,
  stop: AbortSignal,
): Promise<App> {
  const options: Partial<RuntimeOptions> = {
    leaseMs: settings.HOLDPOINT_LEASE_MS,
    graceMs: settings.HOLDPOINT_GRACE_MS,
    pollMs: settings.HOLDPOINT_POLL_MS,
    slowPollMs: settings.HOLDPOINT_SLOW_POLL_MS,
    stopWaitMs: settings.HOLDPOINT_STOP_WAIT_MS,
    readerBufferBytes: settings.HOLDPOINT_SSE_BUFFER,
    concurrency: settings.HOLDPOINT_CONCURRENCY,
    sweepMs: settings.HOLDPOINT_SWEEP_MS,
    retentionMs: settings.HOLDPOINT_RETENTION ?? null,
    eventRetentionMs: settings.HOLDPOINT_EVENT_RETENTION ?? null,
    answersFirst: true,
    ...(settings.HOLDPOINT_HEARTBEAT_MS === undefined
      ? {}
      : { heartbeatMs: settings.HOLDPOINT_HEARTBEAT_MS }),
  };
  const runtime = new Runtime({ checkpointer, log, options });
  const loaded = await loadGraphs(settings.HOLDPOINT_GRAPHS);
  for (const { name, graph, file } of loaded) {
    const { setAside } = graph.bind(runtime, name);
    if (setAside)
      log.warn(
        { graph: name, file },
        "the checkpointer given to compile() is set aside: graphs of a server use the server's",
      );
  }
  const server = await buildServer(
    runtime,
    {
      corsOrigins: settings.HOLDPOINT_CORS_ORIGINS,
      bodyLimit: settings.HOLDPOINT_BODY_LIMIT,
      sseHeartbeatMs: settings.HOLDPOINT_SSE_HEARTBEAT_MS,
      sseRetryMs: settings.HOLDPOINT_SSE_RETRY_MS,
      sseStallMs: settings.HOLDPOINT_SSE_STALL_MS,
      version: VERSION,
    },
    log,
  );
  await open(checkpointer, stop);
  await runtime.start();
  return {
    runtime,
    server,
    graphs: loaded.map(({ name }) => name),
    async close(ms) {
      await runtime.drain(ms);
      await server.close();
      await runtime.close();
    },
  };
}

async function open(checkpointer: Checkpointer, stop: AbortSignal): Promise<void> {
  stop.throwIfAborted();
  const close = (): void => void checkpointer.close().catch(() => undefined);
  stop.addEventListener("abort", close);
  await checkpointer.open();
  stop.removeEventListener("abort", close);
  if (stop.aborted) await checkpointer.close();
  stop.throwIfAborted();
}
