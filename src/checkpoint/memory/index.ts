export { InMemoryCheckpointer } from "./memory-checkpointer.js";
