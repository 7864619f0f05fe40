import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sidOf } from "../support/forget-tunnel.ts";
import { echoServer, pattern, sha256, sourceServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { encodeTcpMux } from "#protocol/tcp-mux.ts";
import { type SilentPort, silentPort } from "../support/silent-port.ts";
import { TestSocket, tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

/** Everything is dialled by one Egress object, which two Tunnels share. */
const site = tunnelSite({ VIRGA_EGRESS_NEAR_FLOWS: "0", VIRGA_EGRESS_SHARDS: "1" });
const file = pattern(2 ** 20, 61);
const servers = loopbackServers({ echo: echoServer, source: () => sourceServer(file) });
let hole: SilentPort;
beforeAll(async () => void (hole = await silentPort()));
afterAll(() => hole?.close());

interface Load {
  readonly pending: number;
  readonly waiting: number;
}
interface Bindings {
  readonly EGRESS: { getByName(name: string): { load(): Promise<Load> } };
  readonly TUNNEL: {
    getByName(name: string): {
      metrics(): Promise<{ near: number; sharded: number; waitingDials: number }>;
    };
  };
}
const bindings = async (): Promise<Bindings> =>
  (await site.server.getWorker().getEnv()) as unknown as Bindings;

async function visit() {
  const headers = await visitorHeaders(site);
  const url = new URL("/l2", site.url).href.replace(/^http/, "ws");
  const tunnel = await new VirgaGuest(url, { headers }).ready();
  const { TUNNEL } = await bindings();
  return { tunnel, headers, metrics: async () => TUNNEL.getByName(sidOf(headers)).metrics() };
}
/** Asks until it is so. */
async function poll<T>(ask: () => Promise<T>, isSo: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (isSo(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("an Egress object", { timeout: 240_000 }, () => {
  test("carries many connections at once, half-close included", async () => {
    const { tunnel, metrics } = await visit();
    const answers = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const connection = tunnel.guest.connect("127.0.0.1", servers.echo.port);
        await connection.write(Buffer.from(`connection ${index}`));
        connection.end();
        return (await connection.whole()).toString();
      }),
    );
    expect(answers).toEqual(Array.from({ length: 60 }, (_, index) => `connection ${index}`));
    expect(sha256(await tunnel.guest.connect("127.0.0.1", servers.source.port).whole())).toBe(sha256(file));
    expect(await metrics()).toMatchObject({ near: 0, sharded: 61, waitingDials: 0 });
    tunnel.stop();
  });

  test("closes the world's connection when the guest breaks its own", async () => {
    const { tunnel } = await visit();
    const connection = tunnel.guest.connect("127.0.0.1", servers.echo.port);
    await connection.write(Buffer.from("x"));
    while (connection.receivedBytes < 1) await connection.change();
    const [socket] = [...servers.echo.open].slice(-1);
    const gone = new Promise((resolve) => socket!.once("close", resolve));
    connection.abort();
    await gone;
    expect(servers.echo.open.has(socket!)).toBe(false);
    tunnel.stop();
  });

  test("keeps a place for the others while one dials where nobody answers; what is given up never dials", async () => {
    const { EGRESS } = await bindings();
    const load = async (): Promise<Load> => EGRESS.getByName("egress-0").load();
    const [greedy, other] = [await visit(), await visit()];
    const mux = await TestSocket.open(site, "/tcp-mux", ["aero-tcp-mux-v1"], greedy.headers);
    for (let id = 1; id <= 30; id++) mux.send(encodeTcpMux.open(id, "127.0.0.1", hole.port));
    // Four of its dials are with the shard, which makes three of them; the rest waits in the Tunnel.
    expect(await poll(load, ({ pending, waiting }) => pending + waiting === 4)).toEqual({
      pending: 3,
      waiting: 1,
    });
    expect((await greedy.metrics()).waitingDials).toBeGreaterThan(0);
    expect(sha256(await other.tunnel.guest.connect("127.0.0.1", servers.source.port).whole())).toBe(
      sha256(file),
    );
    expect((await load()).pending).toBe(3);
    for (let id = 1; id <= 30; id++) mux.send(encodeTcpMux.close(id, "rst"));
    await poll(greedy.metrics, ({ waitingDials }) => waitingDials === 0);
    mux.drop();
    greedy.tunnel.stop();
    other.tunnel.stop();
  });
});
