import { InMemoryCheckpointer } from "../checkpoint/memory/index.js";
import type { Checkpointer } from "../checkpoint/checkpointer.js";
import type { Logger } from "../engine/index.js";
import { Runtime } from "../runs/index.js";

/** The library is quiet but for warnings. The server brings a logger of its own. */
export const libraryLog: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (details, message) => console.warn(`holdpoint: ${message ?? ""}`, details),
  error: (details, message) => console.error(`holdpoint: ${message ?? ""}`, details),
};

const runtimes = new WeakMap<Checkpointer, Runtime>();

/** One runtime a checkpointer: graphs that share one share heartbeats, stops and claims. */
export function runtimeFor(checkpointer: Checkpointer): Runtime {
  let runtime = runtimes.get(checkpointer);
  if (runtime === undefined) {
    runtime = new Runtime({ checkpointer, log: libraryLog });
    runtimes.set(checkpointer, runtime);
  }
  return runtime;
}

export const inMemory = (): Checkpointer => new InMemoryCheckpointer();
