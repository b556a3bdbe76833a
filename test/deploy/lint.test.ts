/** Dockerfile and docker-compose.yml: right by their linters, and what the linters cannot know. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { validate } from "dockerfile-utils";
import { describe, expect, test } from "vitest";
import { readSettings } from "../../src/config.js";
import { newFolder } from "../process/scene.js";
import { readCompose } from "./compose.js";
import { environmentOf, execForm, last, readDockerfile } from "./dockerfile.js";
import { ROOT } from "./image.js";

const DCLINT = join(ROOT, "node_modules", "dclint", "bin", "dclint.cjs");

describe("the Dockerfile", () => {
  const path = join(ROOT, "Dockerfile");
  const text = readFileSync(path, "utf8");
  const findings = (of: string): string[] =>
    validate(of).map(({ message }) => (typeof message === "string" ? message : message.value));
  const stages = readDockerfile(path);
  const server = stages.at(-1);
  if (server === undefined) throw new Error("the Dockerfile has no stage");

  test("has nothing that its linter finds", () => {
    expect(findings(text)).toEqual([]);
  });

  test.each([
    ["an unknown instruction", "WORKDIR", "WORKDIRR"],
    ["an unknown flag", "--chown=", "--owner="],
    ["a health check of an unknown kind", /^ {4}CMD /m, "    COMMAND "],
    ["a duration without a unit", "--timeout=5s", "--timeout=5"],
    ["a port that is none", "EXPOSE 3000", "EXPOSE http"],
  ])("with %s would be found", (_name, before, after) => {
    const mutant = text.replace(before, after);
    expect(mutant).not.toBe(text);
    expect(findings(mutant)).not.toEqual([]);
  });

  test("has one base image, of a version", () => {
    const images = new Set(stages.map(({ image }) => image));
    expect([...images]).toEqual([expect.stringMatching(/^node:\d+\.\d+\.\d+-[a-z]+-slim$/)]);
  });

  test("ends in a server that is not root, hears signals itself, and listens where it is published", () => {
    expect(last(server, "USER")).toBe("node");
    expect(execForm(last(server, "CMD"))[0]).toBe("node");
    const { PATH: _path, NODE_ENV, ...settings } = environmentOf(server);
    expect(NODE_ENV).toBe("production");
    expect(readSettings({}, settings)).toMatchObject({ HOST: "0.0.0.0", HOLDPOINT_OPEN: true });
    expect(last(server, "EXPOSE")).toBe(settings.PORT);
    expect(last(server, "VOLUME")).toBe(settings.HOLDPOINT_DATA_DIR);
    expect(last(server, "WORKDIR")).toBe(settings.HOLDPOINT_DATA_DIR);
  });
});

describe("docker-compose.yml", () => {
  const path = join(ROOT, "docker-compose.yml");
  const text = readFileSync(path, "utf8");

  interface Finding {
    readonly rule: string;
    readonly message: string;
  }

  /** What dclint says, by the project's .dclintrc; the compose specification's JSON schema is among its rules. */
  function findings(file: string): Finding[] {
    const args = [
      DCLINT,
      file,
      "--config",
      join(ROOT, ".dclintrc"),
      "--formatter",
      "json",
      "--max-warnings",
      "0",
    ];
    let output: string;
    try {
      output = execFileSync(process.execPath, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      output = (error as { stdout: string }).stdout;
    }
    return (JSON.parse(output) as { messages: Finding[] }[]).flatMap(({ messages }) => messages);
  }

  test("has nothing that its linter finds", () => {
    expect(findings(path)).toEqual([]);
  });

  test.each([
    ["a key that compose does not know", "restart:", "restrat:", "invalid-schema"],
    ["a condition that there is not", "service_healthy", "service_happy", "invalid-schema"],
    ["a port of every interface", "127.0.0.1:${PORT:-3000}", "${PORT:-3000}", "no-unbound-port-interfaces"],
    [
      "an image of any version",
      "postgres:18-bookworm",
      "postgres:latest",
      "service-image-require-explicit-tag",
    ],
  ])("with %s would be found", (_name, before, after, rule) => {
    const mutant = text.replace(before, after);
    expect(mutant).not.toBe(text);
    const file = join(newFolder(), "docker-compose.yml");
    writeFileSync(file, mutant);
    expect(findings(file).map((each) => each.rule)).toContain(rule);
  });

  test("starts nothing without a password, and says what to do", () => {
    expect(() => readCompose({})).toThrow(/POSTGRES_PASSWORD=.* into \.env/);
  });

  test("joins the server to its database, and publishes the server alone, to this machine alone", () => {
    const { services, volumes } = readCompose({ POSTGRES_PASSWORD: "letmein" });
    const { database, server } = services;
    const url = new URL(server?.environment?.DATABASE_URL ?? "");
    expect(url.hostname).toBe("database");
    expect(database?.environment).toEqual({
      POSTGRES_DB: url.pathname.slice(1),
      POSTGRES_USER: url.username,
      POSTGRES_PASSWORD: url.password,
    });
    const image = readDockerfile(join(ROOT, "Dockerfile")).at(-1);
    if (image === undefined) throw new Error("the Dockerfile has no stage");
    expect(server?.ports).toEqual([`127.0.0.1:3000:${environmentOf(image).PORT}`]);
    expect(database?.ports).toBeUndefined();
    expect(server?.volumes).toEqual([`server:${last(image, "VOLUME")}`]);
    expect(Object.keys(volumes)).toEqual(["database", "server"]);
    const grace = Number(/^(\d+)s$/.exec(server?.stop_grace_period ?? "")?.[1]) * 1000;
    expect(grace).toBeGreaterThan(readSettings({}, {}).HOLDPOINT_DRAIN_MS);
  });
});
