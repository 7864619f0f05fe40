import { expect, test } from "vitest";
import { echoServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { memoryOfChildren } from "../support/process-memory.ts";
import { tunnelSite } from "../support/tunnel-site.ts";

// What is measured is what connections hold, not when V8 happens to collect what they have dropped: it does so after each
// MiB here. Without, the same connections let the process grow by 71 MiB, and each exchange by 14 more until it collects.
process.env["MINIFLARE_WORKERD_V8_FLAGS"] = "--max-semi-space-size=1 --gc-global";
// And the object dials them all: shards take some on a slow machine, and hold them in this process too.
const site = tunnelSite({ VIRGA_EGRESS_SHARDS: "0" });
const servers = loopbackServers({ echo: echoServer });

const FLOWS = 1000;
const MB = 1e6;

test(
  "1,000 connections at once in one session, each with an answer of its own, hold less than 64 MB",
  { timeout: 240_000 },
  async (test) => {
    const tunnel = await new VirgaGuest(new URL("/l2", site.url).href.replace(/^http/, "ws")).ready();
    const before = memoryOfChildren("workerd");
    const flows = Array.from({ length: FLOWS }, () => tunnel.guest.connect("127.0.0.1", servers.echo.port));
    const speak = async (words: string): Promise<void> => {
      await Promise.all(
        flows.map(async (flow, index) => {
          const wanted = flow.receivedBytes + `${words} ${index}`.length;
          await flow.write(Buffer.from(`${words} ${index}`));
          while (flow.receivedBytes < wanted) await flow.change();
        }),
      );
    };
    await speak("first");
    expect(servers.echo.open.size).toBe(FLOWS);
    const open = memoryOfChildren("workerd") - before;
    await speak("second");
    const spoken = memoryOfChildren("workerd") - before;
    for (const [index, { pieces }] of flows.entries())
      expect(Buffer.concat(pieces).toString()).toBe(`first ${index}second ${index}`);
    tunnel.stop();
    if (Number.isNaN(before)) test.skip("what processes hold is known by /proc only");
    const inWords = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`;
    console.log(
      `${FLOWS} connections hold ${inWords(open)} when opened, ${inWords(spoken)} when all have spoken again`,
    );
    expect(open).toBeLessThan(64 * MB);
  },
);
