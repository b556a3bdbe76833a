import { InMemoryCheckpointer } from "holdpoint";
import { it } from "vitest";
import { playAll, disturbed } from "./property.js";

it("in memory, stops and crashes at any moment change nothing of what a graph comes to", async () => {
  await playAll(disturbed, 2500, () => new InMemoryCheckpointer(), [
    "pauses",
    "errors",
    "denials",
    "nested",
    "together",
    "stops",
    "crashes",
  ]);
}, 600_000);
