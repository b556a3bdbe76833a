import { envExample } from "../config.js";
import { graph } from "./graph.js";
import { openapi } from "./openapi.js";
import { serve } from "./serve.js";
import { UsageError } from "./usage-error.js";

export { UsageError };

export const help = `holdpoint runs agent graphs over HTTP and SSE, and holds them where a person must sign off.

Usage: holdpoint <command> [options]

Commands:
  serve        start the server ("holdpoint serve --help" lists its settings)
  graph        print the picture of a graph ("holdpoint graph --help")
  openapi      print the API description
  env-example  print every setting with its default
  help         print this`;

/** Each takes the arguments behind its name. */
export const commands = new Map<string, (args: readonly string[]) => Promise<void> | void>([
  ["serve", serve],
  ["graph", graph],
  ["openapi", openapi],
  ["env-example", () => console.log(envExample())],
  ["help", () => console.log(help)],
]);
