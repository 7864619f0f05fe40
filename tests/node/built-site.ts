import { existsSync } from "node:fs";
import type { D1Database, R2Bucket } from "@cloudflare/workers-types";
import { createTestHarness } from "wrangler";
import { afterAll, beforeAll } from "vitest";

const configPath = process.env["VIRGA_CONFIG"] ?? "./build/dist/virga/wrangler.json";
export const publisher = { authorization: `Bearer ${process.env["VIRGA_PUBLISH_TOKEN"]}` };

export interface BuiltSite {
  url: URL;
  env: { STORE: R2Bucket; DB: D1Database };
}

/** The built Worker with its static files, on a port of its own, for the tests of one file. */
export function builtSite(): BuiltSite {
  const site = {} as BuiltSite;
  const server = createTestHarness({ workers: [{ configPath }] });
  beforeAll(async () => {
    if (!existsSync(configPath)) throw new Error(`${configPath} is not there: run "npm run build" first`);
    ({ url: site.url } = await server.listen());
    await server.getWorker().applyD1Migrations("DB");
    site.env = await server.getWorker<BuiltSite["env"]>().getEnv();
  });
  afterAll(async () => server.close());
  return site;
}
