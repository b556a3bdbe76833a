#!/usr/bin/env node
/** The process edge: which command, and how it ends. */
import { ConfigError } from "./config.js";
import { GraphModuleError } from "./graph/index.js";
import { HoldpointError } from "./errors.js";
import { commands, help, UsageError } from "./cli/index.js";

const [name = "help", ...args] = process.argv.slice(2);
const command = commands.get(name === "--help" || name === "-h" ? "help" : name);

// Whoever reads us may have seen enough, as `head` has.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  if (command === undefined) throw new UsageError(`There is no command "${name}".\n\n${help}`);
  await command(args);
} catch (error) {
  const said =
    error instanceof UsageError ||
    error instanceof ConfigError ||
    error instanceof GraphModuleError ||
    error instanceof HoldpointError;
  console.error(said ? `holdpoint: ${error.message}` : error);
  process.exit(1);
}
