import { resolve } from "node:path";
import { cloudflare } from "@cloudflare/vite-plugin";
import { defineConfig } from "vite";
import solid from "vite-plugin-solid";
import { appShell } from "./infra/app-shell.ts";
import { defineBuildInfo } from "./infra/build-info.ts";
import { sdkForWorkerd } from "./infra/sdk-for-workerd.ts";
import { connectSources, s3Endpoint, staticHeaders } from "./infra/static-headers.ts";
import { securityHeaders } from "./worker/security-headers.ts";

process.loadEnvFile("infra/local.env");

const define = defineBuildInfo();
/** `vite dev` knows no `_headers` file. */
const headers = Object.fromEntries(securityHeaders(s3Endpoint(), connectSources()));
/** The service worker keeps its name over deploys; browsers compare its bytes. */
const input: Record<string, string> = {
  index: resolve("client/index.html"),
  "service-worker": resolve("client/service-worker.ts"),
};

// Paths are relative to the root, client/: the state goes where `--persist-to .wrangler/state` puts it.
export default defineConfig({
  root: "client",
  define,
  plugins: [
    sdkForWorkerd,
    staticHeaders,
    appShell,
    solid(),
    cloudflare({ configPath: "../wrangler.toml", persistState: { path: "../.wrangler/state" } }),
  ],
  environments: {
    client: {
      build: {
        rolldownOptions: {
          input,
          output: {
            entryFileNames: (chunk) =>
              chunk.name === "service-worker" ? "service-worker.js" : "assets/[name]-[hash].js",
          },
        },
      },
    },
    // `vite dev` bundles dependencies beforehand, without the plugins above.
    virga: { optimizeDeps: { rolldownOptions: { plugins: [sdkForWorkerd] } } },
  },
  server: { headers, fs: { allow: [".."] } },
  preview: { headers },
  worker: { format: "es" },
  // An inlined data: URL would need a hole in the CSP.
  build: { outDir: "../build/dist", emptyOutDir: true, assetsInlineLimit: 0, target: "es2024" },
});
