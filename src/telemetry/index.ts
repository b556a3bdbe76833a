export { createLogger, type PinoLogger } from "./logger.js";
