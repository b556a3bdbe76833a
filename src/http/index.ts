export { buildServer, type HttpOptions } from "./server.js";
