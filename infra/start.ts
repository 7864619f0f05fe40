/**
 * `npm start`: everything on this machine. The page and `tiny` first, one line with the URL, then `debian`, then the traces
 * of their boots. Run again, it only starts what is there. Ctrl-C ends it all.
 */
import { parseArgs } from "node:util";
import { type ImageRecord, cacheDirectory } from "./store/image-store.ts";
import { buildApp } from "./stack/build-app.ts";
import { type ImageSupply, NoImages, imageSupply } from "./stack/demo-images.ts";
import { type DohBridge, answersDoh, startDohBridge } from "./stack/doh-bridge.ts";
import { LocalServer, freePort, migrateOnce } from "./stack/local-server.ts";
import { prune } from "./store/prune.ts";
import { publishDemo, publishTraces } from "./stack/publish-demo.ts";

const STATE = ".wrangler/state";
/** As in wrangler.toml. */
const PUBLIC_DOH = ["https://cloudflare-dns.com/dns-query", "https://dns.google/dns-query"];
const { values } = parseArgs({
  options: {
    port: { type: "string", default: "8787" },
    "without-images": { type: "boolean", default: false },
  },
});

const startedMs = Date.now();
const say = (line: string): void => {
  console.log(`virga ${((Date.now() - startedMs) / 1000).toFixed(0).padStart(4)} s  ${line}`);
};

/** The first image may be had while the app is being built: it is fetched once and handed on. */
function headStart(supply: ImageSupply): ImageSupply {
  const images = supply.images();
  const first = images.next();
  first.catch(() => {});
  return {
    ...supply,
    async *images() {
      const { value, done } = await first;
      if (done) return;
      yield value;
      yield* images;
    },
  };
}

let server: LocalServer | undefined;
let bridge: DohBridge | undefined;
let isStopping = false;

/** Ends the server and this process; called once. */
async function stop(code: number): Promise<never> {
  isStopping = true;
  await server?.stop();
  await bridge?.stop();
  process.exit(code);
}

/** Names for the guests: from public resolvers, or, where none can be reached, from this machine's own. */
async function nameService(): Promise<Record<string, string>> {
  const configured = (process.env["VIRGA_DOH_UPSTREAMS"] ?? "").split(/[\s,]+/).filter((url) => url !== "");
  if (await answersDoh(configured.length > 0 ? configured : PUBLIC_DOH)) return {};
  bridge = await startDohBridge();
  say("no DNS over HTTPS can be reached: guests ask this machine's own resolver");
  return { VIRGA_DOH_UPSTREAMS: bridge.url };
}

async function startServer(): Promise<string> {
  await buildApp(say);
  await migrateOnce(STATE);
  server = await LocalServer.start(await freePort(Number(values.port)), STATE, await nameService());
  void server.exited.then((code) => {
    if (isStopping) return;
    console.error(`virga: the server ended (${code}):\n${server?.lastWords}`);
    process.exit(1);
  });
  return server.url;
}

/** Returns when everything is there; what cannot be had after the first image does not end what runs. */
async function bringImages(url: string, supply: ImageSupply): Promise<void> {
  const records: ImageRecord[] = [];
  const onImage = (record: ImageRecord): void => {
    records.push(record);
    if (records.length > 1) say(`${record.name} is in the gallery: ${url}/m/${record.slug}`);
    else say(`ready: ${url}`);
  };
  try {
    await publishDemo(url, supply, say, onImage);
  } catch (error) {
    if (records.length === 0) throw error;
    say(`an image is missing: ${error instanceof Error ? error.message : "for an unknown reason"}`);
  }
  await publishTraces(url, supply.store, records, say);
  // A directory that VIRGA_IMAGES names is somebody else's.
  if (supply.store.directory === cacheDirectory()) await prune(supply.store, Date.now());
  say("everything is there; Ctrl-C ends it");
}

async function main(): Promise<void> {
  const supply = values["without-images"] ? null : headStart(imageSupply(say));
  const url = await startServer();
  if (supply) await bringImages(url, supply);
  else say(`ready, without images: ${url}`);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => {
    if (!isStopping) void stop(0);
  });

try {
  await main();
} catch (error) {
  if (!isStopping) {
    console.error(error instanceof NoImages ? `virga: ${error.message}` : error);
    await stop(1);
  }
}
