import { expect, test } from "vitest";
import { HoldpointError } from "../../src/errors.js";
import { deferred } from "../../src/lib/deferred.js";
import { patiently } from "../../src/runs/patiently.js";

test("what a database is about to answer when nobody waits any more is still given", async () => {
  const leaving = new AbortController();
  const answer = deferred<string>();
  const given = patiently(() => answer.promise, { signal: leaving.signal });
  leaving.abort();
  await Promise.resolve();
  answer.resolve("answered");
  expect(await given).toBe("answered");
});

test("a database that does not answer is given up a moment after nobody waits any more", async () => {
  const leaving = new AbortController();
  const given = patiently(() => new Promise(() => undefined), { signal: leaving.signal });
  leaving.abort();
  await expect(given).rejects.toMatchObject({ code: "database_unavailable" });
});

test("what fails while the database is there is not tried again", async () => {
  let tries = 0;
  const given = patiently(() => {
    tries++;
    return Promise.reject(new HoldpointError("thread_busy", "busy"));
  });
  await expect(given).rejects.toMatchObject({ code: "thread_busy" });
  expect(tries).toBe(1);
});
