import { randomFillSync } from "node:crypto";
import { uuidv7 } from "../lib/uuidv7.js";

const random = new Uint8Array(10);
let last = 0;
let counter = 0;

/**
 * A UUIDv7 that sorts after every earlier one of this process: the 12 bits behind the time count within a millisecond
 * (RFC 9562, method 1), and a full count borrows the next millisecond.
 */
export function newId(): string {
  const now = Date.now();
  randomFillSync(random);
  if (now > last) {
    last = now;
    counter = (random[0] ?? 0) << 1;
  } else if (++counter > 0xfff) {
    last++;
    counter = 0;
  }
  random[0] = counter >> 8;
  random[1] = counter & 0xff;
  return uuidv7(last, random);
}

/** Now, as it is stored and sent: ISO 8601 UTC. */
export const isoNow = (): string => new Date().toISOString();
