import { expect, test } from "vitest";
import { echoServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { memoryOfChildren } from "../support/process-memory.ts";
import { tunnelSite } from "../support/tunnel-site.ts";

const site = tunnelSite();
const servers = loopbackServers({ echo: echoServer });
const FLOWS = 1000;
const MiB = 2 ** 20;

test(
  "1,000 connections at once in one session, each with an answer of its own",
  { timeout: 240_000 },
  async () => {
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
    await speak("second");
    for (const [index, { pieces }] of flows.entries())
      expect(Buffer.concat(pieces).toString()).toBe(`first ${index}second ${index}`);
    const grown = memoryOfChildren("workerd") - before;
    console.log(`workerd grew by ${(grown / MiB).toFixed(1)} MiB for ${FLOWS} open connections`);
    tunnel.stop();
  },
);
