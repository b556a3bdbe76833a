/**
 * What every adapter of the Checkpointer port keeps; the numbers in the tests' names are the invariants of design: storage.
 * Call `checkpointerContract` once for each adapter. The tests share one storage and assume nothing of what is in it:
 * each has its own tenant, thread and, where runs are claimed, graph.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Checkpointer } from "../../src/checkpoint/checkpointer.js";
import { forkContract } from "./fork.js";
import { inboxContract } from "./inbox.js";
import { interruptsContract } from "./interrupts.js";
import { liveEdgeContract } from "./live-edge.js";
import { lateRecordsContract } from "./late-records.js";
import { listsContract } from "./lists.js";
import { logContract } from "./log.js";
import { oddValuesContract } from "./odd-values.js";
import { presenceContract } from "./presence.js";
import { queueContract } from "./queue.js";
import { removalContract } from "./removal.js";
import { requestKeysContract } from "./request-keys.js";
import { runsContract } from "./runs.js";
import { stateContract } from "./state.js";
import { stopsContract } from "./stops.js";
import { takeoverContract } from "./takeover.js";
import { tenantsContract } from "./tenants.js";
import { threadsContract } from "./threads.js";
import { upkeepContract } from "./upkeep.js";
import { WORKER } from "./writes.js";

export interface Made {
  readonly checkpointer: Checkpointer;
  readonly close: () => Promise<void>;
}

export type Make = () => Promise<Made>;

/** `shares`: several processes may use the storage at once. */
export function checkpointerContract(name: string, make: Make, { shares }: { shares: boolean }): void {
  describe(`the contract of the checkpointer: ${name}`, () => {
    let made: Made | undefined;

    beforeAll(async () => {
      made = await make();
      await made.checkpointer.open();
      await made.checkpointer.beat({ id: WORKER, leaseMs: 60_000 });
    });

    afterAll(async () => {
      await made?.close();
    });

    const subject = (): Checkpointer => {
      if (made === undefined) throw new Error("the storage is not open");
      return made.checkpointer;
    };

    threadsContract(subject);
    removalContract(subject);
    tenantsContract(subject);
    runsContract(subject);
    stopsContract(subject);
    queueContract(subject);
    requestKeysContract(subject);
    interruptsContract(subject);
    inboxContract(subject);
    stateContract(subject);
    lateRecordsContract(subject);
    forkContract(subject);
    takeoverContract(subject);
    logContract(subject);
    listsContract(subject);
    oddValuesContract(subject);
    upkeepContract(subject);
    if (shares) liveEdgeContract(subject);
    else test("no live events go anywhere", () => expect(subject().liveEdge).toBeNull());
    presenceContract(subject);
  });
}
