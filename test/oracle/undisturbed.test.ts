import { InMemoryCheckpointer } from "holdpoint";
import { expect, it } from "vitest";
import { newTally, play } from "./drive.js";
import { playAll, undisturbed } from "./property.js";

it("in memory, a graph comes to what the design says, in whatever order nodes finish and people answer", async () => {
  const tally = newTally();
  await playAll(undisturbed, 5000, (given) => play(given, new InMemoryCheckpointer(), tally));
  console.log(tally);
}, 600_000);
