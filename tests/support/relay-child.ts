/** A relay in a process of its own that says, after collecting its garbage, what it holds in memory. Run with --expose-gc. */
import { startRelay } from "../../infra/relay/relay.ts";

const env = {
  VIRGA_EGRESS: "open-loopback",
  VIRGA_AUDIT: "off",
  VIRGA_EGRESS_LIMITS_SIGNED_IN: "flows=2000,connections=10000,burst=10000,hosts=10000",
};
const relay = await startRelay({ port: 0, host: "127.0.0.1", token: "", env });
process.on("message", () => {
  // What the first round frees may free more.
  for (let round = 0; round < 3; round++) globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  process.send?.(heapUsed + arrayBuffers);
});
// Without the test it has no use.
process.on("disconnect", () => process.exit());
process.send?.(relay.url);
