/**
 * The site of the net bench and the bare pipe, in one workerd, started by a process of their own: the heap of the tools that
 * start them would be collected at the expense of the client. Tells its URL on stdout.
 */
import { createTestHarness } from "wrangler";
import { localVariables } from "../../support/tunnel-site.ts";

process.loadEnvFile("infra/local.env");
process.env["WRANGLER_LOG"] = "error";
// What a visitor is allowed is policy; measured is what the tunnel can do.
const much = "flows=4000,connections=1000000,burst=1000000,bytes=1000000000000,hosts=100000";
const vars = {
  ...localVariables(),
  VIRGA_EGRESS_LIMITS_ANONYMOUS: much,
  VIRGA_EGRESS_LIMITS_GUEST: much,
  VIRGA_EGRESS_SESSIONS_PER_ADDRESS: "0",
};
const tunnel = { configPath: "./build/dist/virga/wrangler.json", vars };
const harness = createTestHarness({
  workers: [tunnel, { configPath: "./tests/bench/net/bare-pipe.toml" }],
});
const { url } = await harness.listen();
console.log(JSON.stringify({ url }));
process.stdin.on("end", () => void harness.close().then(() => process.exit(0))).resume();
