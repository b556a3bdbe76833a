export { Live, type LivePlace } from "./live.js";
export { ConsolePublisher, feedPublisher } from "./publishers.js";
export { tail, type Ahead } from "./tail.js";
