import type { TestProject } from "vitest/node";
import { startSite } from "../support/site.ts";

/** One site for all browser tests; each test that breaks the network does so with a proxy of its own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const site = await startSite((line) => console.log(`site: ${line}`));
  project.provide("appUrl", site.url);
  return async () => site.stop();
}
