import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { defineBuildInfo } from "./infra/build-info.ts";

process.loadEnvFile("infra/local.env");

/** Tests that run inside workerd. */
export default defineConfig(async () => ({
  define: defineBuildInfo(),
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "./wrangler.toml" },
      miniflare: {
        bindings: {
          MIGRATIONS: await readD1Migrations("./infra/migrations"),
          VIRGA_L2_IDLE_MS: "600000",
        },
      },
    }),
  ],
  test: {
    include: ["tests/cloud/**/*.test.ts"],
    globalSetup: ["tests/support/cloud-world.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
}));
