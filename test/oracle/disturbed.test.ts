import { InMemoryCheckpointer } from "holdpoint";
import { expect, it } from "vitest";
import { newTally, play } from "./drive.js";
import { playAll, disturbed } from "./property.js";

it("in memory, stops and crashes at any moment change nothing of what a graph comes to", async () => {
  const tally = newTally();
  await playAll(disturbed, 5000, (given) => play(given, new InMemoryCheckpointer(), tally));
  console.log(tally);
}, 600_000);
