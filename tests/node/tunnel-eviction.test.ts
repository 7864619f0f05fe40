import { describe, expect, test } from "vitest";
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

test("a guest that floods a peer which never reads is held back by its windows", async () => {
  const { tunnel } = await visit();
  const flood = Buffer.alloc(65_536, 1);
  const flows = Array.from({ length: 16 }, () => tunnel.guest.connect("127.0.0.1", servers.deaf.port));
  let sentBytes = 0;
  const writers = flows.map(async (connection) => {
    for (let count = 0; count < 200; count++) {
      await connection.write(flood);
      sentBytes += flood.length;
    }
  });
  await Promise.race([Promise.allSettled(writers), new Promise((resolve) => setTimeout(resolve, 4000))]);
  console.log(`${(sentBytes / MiB / flows.length).toFixed(1)} MiB a flow were taken before it stood still`);
  // Sockets' buffers of the system, the guest's own and the stack's window: a few MiB a flow, never the 200 MiB.
  expect(sentBytes).toBeLessThan(16 * 12 * MiB);
  for (const connection of flows) connection.abort();
  tunnel.stop();
});
