export { Live, type LivePlace } from "./live.js";
export { ConsolePublisher, feedPublisher } from "./publishers.js";
export { weightOf } from "./weight.js";
export { oneByOne, tail, tailBatches, type Ahead } from "./tail.js";
