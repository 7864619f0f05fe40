/** `npm run soak -- net [--minutes 30] [--seed 1]`: transfers with loss, and an eviction of the object every minute. */
import { parseArgs } from "node:util";
import { createTestHarness } from "wrangler";
import { pattern, sha256, sourceServer } from "./support/loopback.ts";
import { VirgaGuest } from "./support/net-guest.ts";
import { forgetTunnel, sidOf } from "./support/forget-tunnel.ts";
import { soak } from "./support/net-soak.ts";
import { localVariables } from "./support/tunnel-site.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { minutes: { type: "string", default: "30" }, seed: { type: "string", default: "1" } },
});
if (positionals[0] !== "net") {
  console.error("Which soak? net");
  process.exit(2);
}
process.loadEnvFile("infra/local.env");
const MINUTE_MS = 60_000;
const file = pattern(4 * 2 ** 20, 1);
const source = await sourceServer(file);
const configPath = "./build/dist/virga/wrangler.json";
const server = createTestHarness({ workers: [{ configPath, vars: localVariables() }] });
const { url } = await server.listen();
const session = await fetch(new URL("/session", url), { method: "POST" });
const cookie = session.headers.getSetCookie()[0]!.split(";", 1)[0]!;
const tunnel = await new VirgaGuest(`ws://${url.host}/l2`, { headers: { cookie } }).ready();
const minutes = Number(values.minutes);
const options = {
  tunnel,
  evict: () => forgetTunnel(server, sidOf({ cookie })),
  port: source.port,
  expected: sha256(file),
  rounds: Math.max(1, Math.round(minutes)),
  pauseMs: Math.min(1, minutes) * MINUTE_MS,
  seed: Number(values.seed),
};
console.log(`seed ${options.seed}, ${minutes} minutes, 1 % of all frames lost`);
const report = await soak(options);
console.log(JSON.stringify(report));
tunnel.stop();
await source.close();
await server.close();
process.exit(report.wrong + report.hung > 0 ? 1 : 0);
