import { it } from "vitest";
import { postgresCheckpointer } from "../support/databases.js";
import { all, playAll } from "./property.js";

it("on PostgreSQL, a graph comes to what the design says, whatever happens on the way", async () => {
  const checkpointer = await postgresCheckpointer();
  try {
    await playAll(all, 150, () => checkpointer, [
      "pauses",
      "errors",
      "denials",
      "nested",
      "together",
      "stops",
      "crashes",
    ]);
  } finally {
    await checkpointer.close();
  }
}, 600_000);
