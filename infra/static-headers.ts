import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { headersFile } from "../worker/security-headers.ts";

/** A variable of the Worker as the build sees it: from the environment, else from wrangler.toml. */
function variable(name: string): string {
  const declared = new RegExp(`^${name}\\s*=\\s*"([^"]*)"`, "m").exec(readFileSync("wrangler.toml", "utf8"));
  return process.env[name] ?? declared?.[1] ?? "";
}
/** The S3 endpoint that pages may connect to. */
export const s3Endpoint = (): string => variable("S3_ENDPOINT");
/** What else pages may connect to: relays and resolvers of a stack in the page. */
export const connectSources = (): string => variable("VIRGA_CONNECT_SRC");

/** Writes `_headers` beside the static files, from the list that the Worker's own responses use. */
export const staticHeaders: Plugin = {
  name: "static-headers",
  apply: "build",
  applyToEnvironment: (environment) => environment.name === "client",
  generateBundle() {
    this.emitFile({
      type: "asset",
      fileName: "_headers",
      source: headersFile(s3Endpoint(), connectSources()),
    });
  },
};
