export { Live, type LivePlace } from "./live.js";
export { ConsolePublisher, feedPublisher } from "./publishers.js";
export { weightOf } from "./weight.js";
export { tail, type Ahead } from "./tail.js";
