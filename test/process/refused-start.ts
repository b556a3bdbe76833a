/** A start that must fail: what every such start has in common, and what it said. */
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import { within } from "../support/poll.js";
import { spawnHoldpoint, urlOf, type SpawnOptions } from "../support/server.js";
import { newFolder } from "./scene.js";

export interface Refusal {
  /** What it wrote to stderr. */
  readonly said: string;
  readonly lines: readonly string[];
  readonly ms: number;
}

/** Runs `serve`, which must exit with 1, say why on stderr without a stack trace, and listen nowhere. */
export async function refusedStart(
  options: SpawnOptions & { readonly args?: readonly string[]; readonly command?: string } = {},
): Promise<Refusal> {
  const { args = [], command = "serve", env = {}, ...rest } = options;
  const began = Date.now();
  const dataDir = { HOLDPOINT_DATA_DIR: join(newFolder(), "data") };
  const spawned = spawnHoldpoint([command, ...args], { env: { PORT: "0", ...dataDir, ...env }, ...rest });
  const code = await within("the start is given up", spawned.exit);
  const said = spawned.errors();
  expect({ code, said }).toEqual({ code: 1, said: expect.stringMatching(/^holdpoint: /) });
  expect(said).not.toMatch(/^\s+at /m);
  expect(urlOf(spawned)).toBeNull();
  return { said, lines: said.trimEnd().split("\n"), ms: Date.now() - began };
}

/** Whether anybody listens there. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
