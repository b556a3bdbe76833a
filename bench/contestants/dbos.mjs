import { DBOS } from "@dbos-inc/dbos-sdk";
import { newId, repeat } from "../lib/loops.mjs";

async function launch(url) {
  // Its system tables in a database of its own.
  const own = new URL(url);
  own.pathname = `${own.pathname}_dbos`;
  DBOS.setConfig({ name: "bench", systemDatabaseUrl: own.href, logLevel: "error", runAdminServer: false });
  await DBOS.launch();
}

/** (b) */
export async function chained({ url, nodes = 10, concurrency = 1 }) {
  const chain = DBOS.registerWorkflow(
    async () => {
      let n = 0;
      for (let i = 1; i <= nodes; i++) n = await DBOS.runStep(async () => n + 1, { name: `N${i}` });
      return n;
    },
    { name: "chain" },
  );
  await launch(url);
  return {
    round: (ms, callers = concurrency) =>
      repeat(ms, callers, async () => {
        const n = await chain();
        if (n !== nodes) throw new Error(`it counted to ${n}`);
        return nodes;
      }),
    close: () => DBOS.shutdown(),
  };
}

/** (d): the workflow waits in the process for a message. */
export async function held({ url }) {
  const held = DBOS.registerWorkflow(
    async () => {
      const n = await DBOS.runStep(async () => 1, { name: "A" });
      await DBOS.setEvent("waits", true);
      await DBOS.recv("go", 60);
      return DBOS.runStep(async () => n + 1, { name: "B" });
    },
    { name: "held" },
  );
  await launch(url);
  return {
    round: (ms, callers = 1) =>
      repeat(ms, callers, async () => {
        const workflowID = newId();
        const handle = await DBOS.startWorkflow(held, { workflowID })();
        await DBOS.getEvent(workflowID, "waits", 60);
        await DBOS.send(workflowID, true, "go");
        if ((await handle.getResult()) !== 2) throw new Error("it did not come to its end");
      }),
    close: () => DBOS.shutdown(),
  };
}
