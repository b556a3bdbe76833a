import { defineConfig } from "vitest/config";
import all from "./vitest.config.js";

/** What needs more than Node and npm: a browser, a proxy and a pooler, as Debian packages them (CONTRIBUTING.md). */
export default defineConfig({
  ...all,
  test: {
    include: ["test/system/**/*.test.ts"],
    globalSetup: ["test/support/global-setup.ts"],
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
