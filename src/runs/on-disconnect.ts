/**
 * The wish of a request that its run stops when nobody reads it. It is kept with the run, so that whoever claims it knows: in
 * its metadata, under a name that no request may use; and its `start` event says so, for readers in other processes.
 */
import type { RunEvent } from "../engine/index.js";
import type { JsonObject } from "../lib/json.js";

/** A run, or what one is begun with. */
interface Kept {
  readonly metadata: JsonObject;
}

const KEPT = "\u0000on_disconnect";
const STOP = "stop";
const TOLD = { on_disconnect: STOP };

/** Whether a request uses the name. */
export const isTaken = (metadata: Readonly<Record<string, unknown>>): boolean =>
  Object.hasOwn(metadata, KEPT);

/** What the run is begun with, the wish among it. */
export const withWish = <C extends Kept>(config: C, onDisconnect: "continue" | "stop" | undefined): C =>
  onDisconnect === STOP ? { ...config, metadata: { ...config.metadata, [KEPT]: STOP } } : config;

/** Whether the run is to stop when nobody reads it. */
export const stopsUnread = ({ metadata }: Kept): boolean => metadata[KEPT] === STOP;

/** The metadata of its `start` event. */
export const toldAtStart = (config: Kept): RunEvent["metadata"] => (stopsUnread(config) ? TOLD : {});

/** The run that begins with this event, where it has the wish. */
export const startsWished = ({ eventType, metadata, runId }: RunEvent): string | null =>
  eventType === "start" && metadata.on_disconnect === STOP ? runId : null;
