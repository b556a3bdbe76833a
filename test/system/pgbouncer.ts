/** PgBouncer as Debian has it, in transaction mode, in a folder of the test. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { onTestFinished } from "vitest";
import { newFolder, put } from "../process/scene.js";
import { freePort } from "../support/free-port.js";
import { until, within } from "../support/poll.js";
import { spawnCommand } from "../support/server.js";
import { program } from "./program.js";

/** Fewer than one server alone would keep: whatever a session kept would be another's before long. */
export const CONNECTIONS = 3;

/** The URL of the same database by way of a PgBouncer. */
export async function startPgBouncer(url: string): Promise<string> {
  const folder = newFolder();
  const { hostname, port, username, password } = new URL(url);
  const own = await freePort();
  // It refuses to run as root, and reads its files as whom it becomes.
  chmodSync(folder, 0o755);
  const users = put(
    join(folder, "users"),
    `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"\n`,
  );
  const file = put(
    join(folder, "pgbouncer.ini"),
    `[databases]
* = host=${hostname} port=${port === "" ? 5432 : port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${CONNECTIONS}
max_client_conn = 200
${process.getuid?.() === 0 ? "user = nobody" : ""}
`,
  );
  const bouncer = spawnCommand(program("pgbouncer"), [file]);
  onTestFinished(async () => {
    bouncer.kill("SIGTERM");
    await within("PgBouncer ends", bouncer.exit);
  });
  const pooled = new URL(url);
  pooled.host = `127.0.0.1:${own}`;
  await until("PgBouncer answers", async () => {
    if (bouncer.ended() !== null) throw new Error(`PgBouncer ended:\n${bouncer.errors()}`);
    return answers(pooled.href);
  });
  return pooled.href;
}

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("SELECT 1");
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
