/** Doing something for a while. */
let count = 0;
const run = `${process.pid.toString(36)}-${Date.now().toString(36)}`;

/** An id that no other call gives. */
export const newId = () => `${run}-${(count++).toString(36)}`;

/** As often as fits into so many milliseconds, by so many at once. Gives how often, and how long each took. */
export async function repeat(ms, concurrency, once) {
  const until = performance.now() + ms;
  const latencies = [];
  let ops = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      do {
        const from = performance.now();
        // Not `ops += await …`: that reads before it waits, and loses what others count meanwhile.
        const done = (await once()) ?? 1;
        ops += done;
        latencies.push(performance.now() - from);
      } while (performance.now() < until);
    }),
  );
  return { ops, latencies };
}
