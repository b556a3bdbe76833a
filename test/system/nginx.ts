/** nginx as Debian has it, in front of a server, in a folder of the test. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { newFolder, put } from "../process/scene.js";
import { until, within } from "../support/poll.js";
import { spawnCommand } from "../support/server.js";
import { program } from "./program.js";

export interface Nginx {
  /** What it wrote to its error log. */
  readonly errors: () => string;
}

/** Serves `server`, the text of `server` blocks. Everything else is nginx's default, but for where its files are. */
export async function startNginx(server: string, isUp: () => Promise<boolean>): Promise<Nginx> {
  const folder = newFolder();
  // Its workers are another user where the test is root.
  chmodSync(folder, 0o755);
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${join(folder, name)};`,
  );
  const file = put(
    join(folder, "nginx.conf"),
    `daemon off; pid ${join(folder, "pid")}; error_log stderr info;
events {}
http { access_log off; ${places.join(" ")}
${server}
}
`,
  );
  const nginx = spawnCommand(program("nginx"), ["-e", "stderr", "-p", folder, "-c", file]);
  // Killed, it would leave its workers behind.
  onTestFinished(async () => {
    nginx.kill("SIGTERM");
    await within("nginx ends", nginx.exit);
  });
  await until("nginx answers", async () => {
    if (nginx.ended() !== null) throw new Error(`nginx ended:\n${nginx.errors()}`);
    return isUp().catch(() => false);
  });
  return { errors: () => nginx.errors() };
}
