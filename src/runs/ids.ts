import { randomFillSync } from "node:crypto";
import { uuidv7 } from "../lib/uuidv7.js";

/** Random bytes are fetched for many ids at a time: a call into the kernel costs more than all the rest of an id. */
const BYTES = 10;
const pool = new Uint8Array(BYTES * 256);
let used = pool.length;
let last = 0;
let counter = 0;

/**
 * A UUIDv7 that sorts after every earlier one of this process: the 12 bits behind the time count within a millisecond
 * (RFC 9562, method 1), and a full count borrows the next millisecond.
 */
export function newId(): string {
  const now = Date.now();
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const at = used;
  used += BYTES;
  if (now > last) {
    last = now;
    counter = (pool[at] ?? 0) << 1;
  } else if (++counter > 0xfff) {
    last++;
    counter = 0;
  }
  pool[at] = counter >> 8;
  pool[at + 1] = counter & 0xff;
  return uuidv7(last, pool, at);
}

let stampedAt = NaN;
let stamp = "";

/** Now, as it is stored and sent: ISO 8601 UTC. */
export function isoNow(): string {
  const now = Date.now();
  // Much happens in one millisecond, and writing a date costs as much as all else of an event.
  if (now !== stampedAt) {
    stampedAt = now;
    stamp = new Date(now).toISOString();
  }
  return stamp;
}
