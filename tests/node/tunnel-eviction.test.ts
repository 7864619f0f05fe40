import { describe, expect, test } from "vitest";
import { virgaLan } from "../../durable-objects/gateway/l2-guest.ts";
import { limits } from "../../durable-objects/net/tcp/limits.ts";
import { deafServer, echoServer, pattern, sha256, sourceServer } from "../support/loopback.ts";
import { forgetTunnel, sidOf } from "../support/forget-tunnel.ts";
import { soak } from "../support/net-soak.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const site = tunnelSite();
const MiB = 2 ** 20;
const file = pattern(8 * MiB, 21);
const servers = loopbackServers({
  echo: echoServer,
  source: () => sourceServer(file),
  deaf: deafServer,
});

async function visit() {
  const headers = await visitorHeaders(site);
  const url = new URL("/l2", site.url).href.replace(/^http/, "ws");
  const tunnel = await new VirgaGuest(url, { headers }).ready();
  const sid = sidOf(headers);
  return { tunnel, sid, forget: () => forgetTunnel(site.server, sid) };
}

describe("an evicted Tunnel", () => {
  test("in the middle of a transfer: the connection is reset, and the next one works", async () => {
    const { tunnel, forget } = await visit();
    const connection = tunnel.guest.connect("127.0.0.1", servers.source.port);
    let forgotten: Promise<void> | undefined;
    connection.onData = () => {
      if (connection.receivedBytes > MiB) forgotten ??= forget();
    };
    await expect(connection.whole()).rejects.toThrow("reset");
    await forgotten;
    await tunnel.ready();
    expect(tunnel.sessions).toBe(2);
    expect(sha256(await tunnel.guest.connect("127.0.0.1", servers.source.port).whole())).toBe(sha256(file));
    tunnel.stop();
  });

  test("that was quiet goes on after it slept, with the same session", async () => {
    const { tunnel, sid } = await visit();
    const first = tunnel.guest.connect("127.0.0.1", servers.echo.port);
    await first.write(Buffer.from("before"));
    first.end();
    expect((await first.whole()).toString()).toBe("before");
    // The flow's end and the last ACK of the session: then nothing is under way.
    await tunnel.quiet();
    await site.server.getWorker().evictDurableObject("TUNNEL", { name: sid, webSockets: "hibernate" });
    const second = tunnel.guest.connect("127.0.0.1", servers.echo.port);
    await second.write(Buffer.from("after"));
    second.end();
    expect((await second.whole()).toString()).toBe("after");
    expect([tunnel.sessions, tunnel.resumed]).toEqual([1, 0]);
    tunnel.stop();
  });
});

test("a soak of a few seconds: loss, evictions, and every transfer right or reset", async () => {
  const { tunnel, forget } = await visit();
  const options = { tunnel, evict: forget, port: servers.source.port, expected: sha256(file) };
  const report = await soak({ ...options, rounds: 3, seed: 1 });
  expect([report.wrong, report.hung]).toEqual([0, 0]);
  expect(report.right + report.reset).toBe(report.transfers);
  expect(report.right).toBeGreaterThan(0);
  tunnel.stop();
});

interface Bindings {
  readonly TUNNEL: {
    getByName(name: string): { metrics(): Promise<{ heldBytes: number; stackBytes: number }> };
  };
}

test(
  "a guest that floods peers which never read is held back by its windows",
  { timeout: 240_000 },
  async () => {
    const { tunnel, sid } = await visit();
    const env = (await site.server.getWorker().getEnv()) as unknown as Bindings;
    const flood = Buffer.alloc(65_536, 1);
    const flows = Array.from({ length: 16 }, () => tunnel.guest.connect("127.0.0.1", servers.deaf.port));
    let sentBytes = 0;
    for (const connection of flows)
      void (async () => {
        for (let count = 0; count < 1000; count++) {
          await connection.write(flood);
          sentBytes += flood.length;
        }
      })().catch(() => {});
    // Until it stands still: the buffers of the system are full first, a few MiB a flow.
    for (let [last, same] = [-1, 0]; same < 5; same = sentBytes === last ? same + 1 : 0, last = sentBytes)
      await new Promise((resolve) => setTimeout(resolve, 200));
    const { heldBytes, stackBytes } = await env.TUNNEL.getByName(sid).metrics();
    const inMiB = (bytes: number): string => (bytes / MiB).toFixed(2);
    console.log(
      `of 1,000 MiB that 16 flows would send, the world and the way took ${inMiB(sentBytes)} MiB; the object holds ${inMiB(stackBytes)} MiB of it and ${inMiB(heldBytes)} MiB for the guest`,
    );
    // Windows are full: of the flows one by one, or of the stack together.
    const together = Math.min(16 * virgaLan.receiveBufferBytes, limits.stackReceiveBytes);
    expect(stackBytes).toBeGreaterThan(16 * 64 * 1024);
    expect(stackBytes).toBeLessThanOrEqual(together + 16 * 64 * 1024);
    expect(heldBytes).toBeLessThan(MiB);
    for (const connection of flows) connection.abort();
    tunnel.stop();
  },
);
