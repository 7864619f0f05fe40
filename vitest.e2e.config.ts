import { defineConfig } from "vitest/config";

process.loadEnvFile("infra/local.env");

/** Tests in real browsers, on one site for all of them. One file at a time: two cores boot one machine at once. */
export default defineConfig({
  test: {
    include: ["tests/e2e/**/*.test.ts"],
    globalSetup: ["tests/e2e/setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
});
