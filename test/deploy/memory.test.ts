/** docs/deployment.md says how much memory the server needs on the embedded database: not more than that, from the first start. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { post } from "../process/client.js";
import { newFolder } from "../process/scene.js";
import { startServer } from "../support/server.js";
import { ROOT } from "./image.js";
import { documentedMegabytes, peakMegabytes } from "./memory.js";

test(
  "it keeps within that when it begins its database, and when it finds it",
  { timeout: 120_000 },
  async () => {
    const env = { HOLDPOINT_DATA_DIR: join(newFolder(), "data"), HOLDPOINT_GRAPHS: join(ROOT, "examples") };
    for (const thread of ["first", "second"]) {
      const server = await startServer(env);
      const run = { graph: "approval", input: { messages: ["Delete all production data"] } };
      expect(await post(server, `/threads/${thread}/run`, run)).toMatchObject({
        body: { status: "interrupted_before" },
      });
      expect(peakMegabytes(server.pid)).toBeLessThan(documentedMegabytes("embedded"));
      server.kill("SIGTERM");
      expect(await server.exit).toBe(0);
    }
  },
);
