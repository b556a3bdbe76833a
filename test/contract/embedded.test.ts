import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { inject } from "vitest";
import { PgCheckpointer, PgliteDatabase } from "../../src/checkpoint/postgres/index.js";
import { checkpointerContract } from "./checkpointer.js";
import { durabilityContract, type Durable } from "./durability.js";

async function make(): Promise<Durable> {
  const dataDir = await mkdtemp(join(tmpdir(), "holdpoint-embedded-"));
  const loadDataDir = new Blob([readFileSync(inject("embeddedDump"))]);
  let open = new PgCheckpointer({ database: new PgliteDatabase({ dataDir, loadDataDir }) });
  await open.open();
  return {
    checkpointer: open,
    reopen: async () => {
      // One process a directory: the former one is closed first.
      await open.close();
      open = new PgCheckpointer({ dataDir });
      await open.open();
      return open;
    },
    close: async () => {
      await open.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

checkpointerContract("embedded", make, { shares: false });
durabilityContract(make);
