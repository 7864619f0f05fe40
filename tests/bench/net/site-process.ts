/**
 * The site of the net bench and the bare pipe, in one workerd, started by a process of their own: the heap of the tools that
 * start them would be collected at the expense of the client. Tells its URL on stdout.
 */
import { createTestHarness } from "wrangler";
import { localVariables } from "../../support/tunnel-site.ts";

process.loadEnvFile("infra/local.env");
process.env["WRANGLER_LOG"] = "error";
const tunnel = { configPath: "./build/dist/virga/wrangler.json", vars: localVariables() };
const harness = createTestHarness({
  workers: [tunnel, { configPath: "./tests/bench/net/bare-pipe.toml" }],
});
const { url } = await harness.listen();
console.log(JSON.stringify({ url }));
process.stdin.on("end", () => void harness.close().then(() => process.exit(0))).resume();
