/**
 * Judges what is left of a chaos, from the ledger, what clients and readers were told, and the tables. Numbers are those of
 * the invariants of the storage.
 */
import { checkEffects, checkGated } from "./check-effects.js";
import { checkLog, checkReadings } from "./check-events.js";
import { checkAccepted, checkRequests, checkRest } from "./check-runs.js";
import { checkSteps } from "./check-steps.js";
import type { Evidence } from "./evidence.js";
import type { Doubts, Verdict } from "./verdict.js";

export function judge(evidence: Evidence): Verdict {
  const doubts: Doubts = { killed: 0, frozen: 0, late: 0 };
  const faults = [
    ...checkAccepted(evidence),
    ...checkRequests(evidence),
    ...checkRest(evidence),
    ...checkSteps(evidence),
    ...checkEffects(evidence, doubts),
    ...checkGated(evidence),
    ...checkLog(evidence),
    ...checkReadings(evidence),
  ];
  return { faults, doubts };
}
