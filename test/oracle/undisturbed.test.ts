import { InMemoryCheckpointer } from "holdpoint";
import { it } from "vitest";
import { playAll, undisturbed } from "./property.js";

it("in memory, a graph comes to what the design says, in whatever order nodes finish and people answer", async () => {
  await playAll(undisturbed, 2500, () => new InMemoryCheckpointer(), [
    "pauses",
    "errors",
    "denials",
    "nested",
    "together",
  ]);
}, 600_000);
