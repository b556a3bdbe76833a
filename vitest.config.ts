import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Tests run the sources, never yesterday's build; only the tests of whole processes use dist, which globalSetup builds.
  resolve: {
    alias: [
      { find: /^holdpoint$/, replacement: source("./src/index.ts") },
      { find: /^holdpoint\/client$/, replacement: source("./src/client/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    // Those need packages of Debian, and have a configuration of their own: `npm run test:system`.
    exclude: ["test/system/**"],
    globalSetup: ["test/support/global-setup.ts"],
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"], tsconfig: "tsconfig.json" },
    coverage: { provider: "v8", include: ["src/**"], reporter: ["text-summary"] },
  },
});
