import { InMemoryCheckpointer } from "../../src/checkpoint/memory/index.js";
import { checkpointerContract } from "./checkpointer.js";

checkpointerContract("memory", async () => {
  const checkpointer = new InMemoryCheckpointer();
  return { checkpointer, close: () => checkpointer.close() };
});
