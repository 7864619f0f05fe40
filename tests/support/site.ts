import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildApp } from "../../infra/stack/build-app.ts";
import { imageSupply } from "../../infra/stack/demo-images.ts";
import { freePort, LocalServer, migrate } from "../../infra/stack/local-server.ts";
import { publishDemo, publishTraces } from "../../infra/stack/publish-demo.ts";

/** The product as `npm start` runs it, with every demo image published, on a state that is thrown away. */
export interface Site {
  readonly url: string;
  stop(): Promise<void>;
}

const FIRST_PORT = 8900;

/** VIRGA_URL names a site that is already there; it is left as it is. Traces are recorded for who measures boots. */
export async function startSite(
  say: (line: string) => void = () => {},
  { withTraces = false } = {},
): Promise<Site> {
  const running = process.env["VIRGA_URL"];
  if (running) return { url: running, stop: async () => {} };
  const state = mkdtempSync(join(tmpdir(), "virga-state-"));
  const supply = imageSupply(say);
  await buildApp(say);
  await migrate(state);
  const server = await LocalServer.start(await freePort(FIRST_PORT), state);
  const stop = async () => {
    await server.stop();
    rmSync(state, { recursive: true, force: true });
  };
  try {
    const records = await publishDemo(server.url, supply, say, ({ name }) => say(`${name} is published`));
    if (withTraces) await publishTraces(server.url, supply.store, records, say);
  } catch (problem) {
    await stop();
    throw problem;
  }
  return { url: server.url, stop };
}
