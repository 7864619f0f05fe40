import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { headersFile } from "../worker/security-headers.ts";

/** The S3 endpoint that pages may connect to: from the environment, else from wrangler.toml. */
export function s3Endpoint(): string {
  const declared = /^S3_ENDPOINT\s*=\s*"([^"]*)"/m.exec(readFileSync("wrangler.toml", "utf8"));
  return process.env["S3_ENDPOINT"] ?? declared?.[1] ?? "";
}

/** Writes `_headers` beside the static files, from the list that the Worker's own responses use. */
export const staticHeaders: Plugin = {
  name: "static-headers",
  apply: "build",
  applyToEnvironment: (environment) => environment.name === "client",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "_headers", source: headersFile(s3Endpoint()) });
  },
};
