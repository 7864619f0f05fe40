import { defineConfig } from "vitest/config";

process.loadEnvFile("infra/local.env");

/** Tests that run in Node: every room without a cloud or a browser, and tests/node against the built Worker. */
export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: ["tests/cloud/**", "tests/e2e/**"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
