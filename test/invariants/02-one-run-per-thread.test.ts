/** Fifty clients want to run one thread at once. That the database itself refuses a second run: test/storage/constraints. */
import { describe, expect, test } from "vitest";
import { get, post, threadWhen, type Reply } from "../process/client.js";
import { line, newScene } from "../process/scene.js";
import { until } from "../support/poll.js";
import { expectLineOnce, query } from "./stage.js";

describe("Invariant 2: one active run per thread", () => {
  test.each(["thread that is not there yet", "thread that waits"])(
    "of fifty simultaneous runs over two servers on a %s one runs, 49 are refused",
    async (kind) => {
      const scene = await newScene("postgres", line());
      const servers = [await scene.start(), await scene.start()] as const;
      if (kind === "thread that waits")
        expect((await post(servers[0], "/threads", { thread_id: "t1" })).status).toBe(201);
      const replies: Reply[] = [];
      const all = Promise.all(
        Array.from({ length: 50 }, async (_each, i) => {
          replies.push(await post(servers[i % 2 === 0 ? 0 : 1], "/threads/t1/run", { input: {} }));
        }),
      );
      // The one that was accepted cannot end before the others have come.
      await until("49 are answered", () => replies.length === 49);
      for (const reply of replies)
        expect(reply).toMatchObject({ status: 409, body: { code: "thread_busy" } });
      const active = "SELECT run_id FROM holdpoint.run WHERE status = 'running'";
      expect(await query(scene, active)).toHaveLength(1);
      scene.open("slow");
      await all;
      expect(replies.at(-1)).toMatchObject({ status: 200, body: { status: "completed" } });

      await threadWhen(servers[1], "t1", "completed");
      const by = scene.ledger().at(-1)?.pid ?? 0;
      expect(scene.ledger()).toEqual(
        ["FIRST", "SLOW begun", "SLOW done", "LAST"].map((mark) => ({ mark, pid: by })),
      );
      expect((await get(servers[0], "/threads/t1/runs")).body.items).toHaveLength(1);
      await expectLineOnce(servers[0], "t1", by);
    },
  );
});
