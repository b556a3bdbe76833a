import { InMemoryCheckpointer } from "../../src/checkpoint/memory/index.js";
import { checkpointerContract, type Made } from "./checkpointer.js";

async function make(): Promise<Made> {
  const checkpointer = new InMemoryCheckpointer();
  return { checkpointer, close: () => checkpointer.close() };
}

checkpointerContract("memory", make, { shares: false });
