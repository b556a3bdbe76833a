import memory from "./a-memory.mjs";
import * as durable from "./b-durable.mjs";
import growth from "./c-growth.mjs";
import hold from "./d-hold.mjs";
import * as http from "./e-http.mjs";
import idle from "./f-idle.mjs";
import * as sse from "./f-sse.mjs";
import stop from "./g-stop.mjs";
import takeover from "./h-takeover.mjs";

export const WORKS = [
  memory,
  durable.one,
  durable.many,
  growth,
  hold,
  http.one,
  http.many,
  sse.one,
  sse.many,
  sse.events,
  idle,
  stop,
  takeover,
];
