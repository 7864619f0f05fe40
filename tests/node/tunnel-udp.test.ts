import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../infra/relay/relay.ts";
import { LocalServer, freePort } from "../../infra/stack/local-server.ts";
import { GuestDatagrams, udpEcho } from "../support/guest-datagrams.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { visitorHeaders } from "../support/tunnel-site.ts";

/**
 * A guest's datagrams that leave the Tunnel by the operator's relay. The server is `wrangler dev`, because the harness of
 * other tests answers an outgoing upgrade with 500.
 */
const FIRST_PORT = 8870;
const JWT_SECRET = "a secret of site and relay";
const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };
let echo: Awaited<ReturnType<typeof udpEcho>>;
beforeAll(async () => void (echo = await udpEcho()));
afterAll(() => echo.close());

describe.each([
  [
    "the relay for TCP, by its token",
    (url: string) => ({ VIRGA_RELAY_URL: `${url}/tcp-mux`, VIRGA_RELAY_TOKEN: "secret" }),
  ],
  [
    "a relay for UDP, by a JWT",
    (url: string) => ({ VIRGA_UDP_RELAY_URL: url, VIRGA_UDP_RELAY_KEY: JWT_SECRET }),
  ],
])("a guest's UDP goes by %s", (_, variables) => {
  const state = mkdtempSync(join(tmpdir(), "virga-udp-"));
  let relay: Relay;
  let site: LocalServer;
  beforeAll(async () => {
    relay = await startRelay({ port: 0, host: "127.0.0.1", token: "secret", jwtSecret: JWT_SECRET, env });
    site = await LocalServer.start(await freePort(FIRST_PORT), state, variables(relay.url));
  });
  afterAll(async () => {
    await site?.stop();
    await relay.close();
    rmSync(state, { recursive: true, force: true });
  });

  const visitor = () => visitorHeaders({ url: new URL(site.url) });
  async function withGuest(
    use: (udp: GuestDatagrams, tunnel: VirgaGuest) => Promise<void>,
    headers?: Record<string, string>,
  ): Promise<void> {
    const url = new URL("/l2", site.url).href.replace(/^http/, "ws");
    headers ??= await visitor();
    const tunnel = await new VirgaGuest(url, { headers }).ready();
    try {
      await use(new GuestDatagrams(tunnel.guest), tunnel);
    } finally {
      tunnel.stop();
    }
  }

  const flowsOf = (tunnel: VirgaGuest) =>
    tunnel.notices.filter(({ type }) => type === "flow-opened" || type === "flow-refused");

  test("to any port and back, each conversation for itself, and the page sees it", () =>
    withGuest(async (udp, tunnel) => {
      udp.send(4000, "127.0.0.1", echo.port, "abc");
      expect(await udp.next()).toEqual({
        from: "127.0.0.1",
        fromPort: echo.port,
        toPort: 4000,
        payload: Buffer.from("cba"),
      });
      const long = Buffer.alloc(1400, "0123456789");
      udp.send(4001, "127.0.0.1", echo.port, long);
      expect(await udp.next()).toMatchObject({ toPort: 4001, payload: Buffer.from(long).reverse() });
      expect(flowsOf(tunnel)).toMatchObject([
        { type: "flow-opened", protocol: "udp", egress: "relay", address: "127.0.0.1", port: echo.port },
        { type: "flow-opened", protocol: "udp", port: echo.port },
      ]);
    }));

  test("what the policy forbids is answered by ICMP, told once, and never reaches the relay", () =>
    withGuest(async (udp, tunnel) => {
      const heard = echo.heard;
      for (let i = 0; i < 3; i++) {
        udp.send(4000, "10.1.1.1", echo.port, "x");
        expect(await udp.next()).toEqual({ icmp: "prohibited", toPort: echo.port });
      }
      expect(flowsOf(tunnel)).toMatchObject([{ type: "flow-refused", code: "private-address" }]);
      expect(echo.heard).toBe(heard);
    }));

  test("two guests of one session have the same port, and each its own answers", async () => {
    const headers = await visitor();
    await withGuest(
      async (udp) =>
        withGuest(async (other) => {
          udp.send(4000, "127.0.0.1", echo.port, "one");
          other.send(4000, "127.0.0.1", echo.port, "two");
          expect(await udp.next()).toMatchObject({ payload: Buffer.from("eno") });
          expect(await other.next()).toMatchObject({ payload: Buffer.from("owt") });
        }, headers),
      headers,
    );
  });

  test("a relay that is gone: the guest hears it, and the page why", () =>
    withGuest(async (udp, tunnel) => {
      await relay.close();
      udp.send(4000, "127.0.0.1", echo.port, "x");
      expect(await udp.next()).toEqual({ icmp: "port", toPort: echo.port });
      const refused = flowsOf(tunnel).find(({ type }) => type === "flow-refused");
      expect(refused).toMatchObject({ code: "no-relay", problem: expect.stringContaining("relay") });
    }));
});
