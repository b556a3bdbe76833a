export { mermaid } from "./mermaid.js";
export { buildServer, type HttpOptions } from "./server.js";
