/** The compose file, with its variables filled in as compose does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ROOT } from "./image.js";

export interface Service {
  readonly environment?: Record<string, string>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly stop_grace_period?: string;
}

export interface Compose {
  readonly services: Record<string, Service>;
  readonly volumes: Record<string, unknown>;
}

/** Throws where a variable that must be given is not. */
export function readCompose(given: Readonly<Record<string, string>>): Compose {
  const text = readFileSync(join(ROOT, "docker-compose.yml"), "utf8");
  return parse(
    text.replace(/\$\{(\w+)(?::([?-])([^}]*))?\}/g, (_, name: string, kind?: string, rest = "") => {
      const value = given[name];
      if (value !== undefined && value !== "") return value;
      if (kind === "-") return rest;
      throw new Error(`${name}: ${rest}`);
    }),
  ) as Compose;
}
