import { it } from "vitest";
import { postgresCheckpointer } from "../support/databases.js";
import { newTally, play } from "./drive.js";
import { all, playAll } from "./property.js";

it("on PostgreSQL, a graph comes to what the design says, whatever happens on the way", async () => {
  const tally = newTally();
  const checkpointer = await postgresCheckpointer();
  try {
    await playAll(all, 300, (given) => play(given, checkpointer, tally));
    console.log(tally);
  } finally {
    await checkpointer.close();
  }
}, 300_000);
