import { InMemoryCheckpointer } from "holdpoint";
import { Runtime } from "../../src/runs/index.js";
import { createLogger } from "../../src/telemetry/index.js";

export const ref = { tenant: "default", threadId: "t" };
export const runtime = (checkpointer: any, options: any = {}) =>
  new Runtime({ checkpointer, log: createLogger("silent", false), options });

/** A checkpointer whose methods can be wrapped. */
export function wrapped(
  over: Record<string, (inner: any, ...args: any[]) => any>,
  inner: any = new InMemoryCheckpointer(),
) {
  return new Proxy(inner, {
    get(target, key) {
      const own = over[key as string];
      if (own !== undefined) return (...args: any[]) => own(target, ...args);
      const value = target[key];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
/** The owner of the run is lost, maybe inside its node: another claims it, and is lost too. */
export async function die(cp: any, graph: string, _times = 1): Promise<any> {
  const head = await cp.thread(ref);
  await cp.release(ref, head.epoch, { inFlight: true });
  return cp.claim({ id: `dead-${Math.random()}`, leaseMs: 0 }, [graph], 100);
}
