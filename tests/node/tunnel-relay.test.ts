import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRelay } from "../../infra/relay/relay.ts";
import { LocalServer, freePort } from "../../infra/stack/local-server.ts";
import { startCuttingProxy } from "../support/cutting-proxy.ts";
import { closedPort, echoServer, pattern, sha256, sourceServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { VirgaGuest } from "../support/net-guest.ts";

/**
 * A guest's connections that leave the Tunnel by the operator's relay: workerd's WebSocket to a relay of this machine. The
 * server is `wrangler dev`, because the harness of the other tests answers an outgoing upgrade with 500.
 */
const MiB = 2 ** 20;
const file = pattern(8 * MiB, 41);
const servers = loopbackServers({ echo: echoServer, source: () => sourceServer(file) });
const FIRST_PORT = 8950;
/** A machine that does much else at the same time starts a server slowly. */
const LONG_MS = 240_000;
const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };

describe.each(["tcp-mux", "wisp/"])("VIRGA_RELAY_URL with %s", { timeout: LONG_MS }, async (path) => {
  const relay = await startRelay({ port: 0, host: "127.0.0.1", token: "secret", env });
  const wire = await startCuttingProxy(relay.url.replace(/^ws/, "http"));
  const state = mkdtempSync(join(tmpdir(), "virga-relay-"));
  let site: LocalServer;
  beforeAll(async () => {
    site = await LocalServer.start(await freePort(FIRST_PORT), state, {
      VIRGA_RELAY_URL: `${wire.url.replace(/^http/, "ws")}/${path}`,
      VIRGA_RELAY_TOKEN: "secret",
      VIRGA_RELAY_FOR: "all",
    });
  }, LONG_MS);
  afterAll(async () => {
    await site?.stop();
    await wire.close();
    await relay.close();
    rmSync(state, { recursive: true, force: true });
  });

  async function withGuest(use: (tunnel: VirgaGuest) => Promise<void>): Promise<void> {
    const tunnel = await new VirgaGuest(new URL("/l2", site.url).href.replace(/^http/, "ws")).ready();
    try {
      await use(tunnel);
    } finally {
      tunnel.stop();
    }
  }
  const download = async ({ guest }: VirgaGuest): Promise<string> =>
    sha256(await guest.connect("127.0.0.1", servers.source.port).whole());

  const ended = path === "tcp-mux" ? "" : " (skipped: shown with tcp-mux)";
  test.skipIf(ended !== "")(
    `without connections the socket is closed, so that objects may sleep${ended}`,
    () =>
      withGuest(async (tunnel) => {
        const source = tunnel.guest.connect("127.0.0.1", servers.source.port);
        expect(sha256(await source.whole())).toBe(sha256(file));
        source.end();
        const echo = tunnel.guest.connect("127.0.0.1", servers.echo.port);
        await echo.write(Buffer.from("hello"));
        echo.end();
        expect((await echo.whole()).toString()).toBe("hello");
        expect(wire.socketCount).toBeGreaterThan(0);
        await expect.poll(() => wire.socketCount, { timeout: 120_000, interval: 500 }).toBe(0);
      }),
  );

  test("bytes go both ways, several connections at once, and all of them by the relay", () =>
    withGuest(async (tunnel) => {
      const before = wire.socketBytes;
      const echo = tunnel.guest.connect("127.0.0.1", servers.echo.port);
      const sent = file.subarray(0, 2 * MiB);
      const write = echo.write(sent);
      const [first, second] = await Promise.all([download(tunnel), download(tunnel)]);
      expect([first, second]).toEqual([sha256(file), sha256(file)]);
      await write;
      while (echo.receivedBytes < sent.length) await echo.change();
      expect(sha256(Buffer.concat(echo.pieces))).toBe(sha256(sent));
      expect(wire.socketBytes - before).toBeGreaterThan(18 * MiB);
      echo.abort();
    }));

  test("what the world refuses ends as a reset, and the panel hears why", () =>
    withGuest(async (tunnel) => {
      const connection = tunnel.guest.connect("127.0.0.1", await closedPort());
      await expect(connection.whole()).rejects.toThrow("reset");
      await expect
        .poll(() => tunnel.notices.filter(({ type }) => type === "flow-refused"))
        .toMatchObject([{ code: "refused" }]);
    }));

  test("the relay is gone in the middle of a transfer: reset, and the next one has a new socket", () =>
    withGuest(async (tunnel) => {
      const connection = tunnel.guest.connect("127.0.0.1", servers.source.port);
      let cut = 0;
      connection.onData = () => {
        if (cut === 0) cut = wire.cutSockets();
      };
      await expect(connection.whole()).rejects.toThrow("reset");
      expect(cut).toBeGreaterThan(0);
      expect(await download(tunnel)).toBe(sha256(file));
    }));

  // Half a minute of real time: once is enough here, and page-stack.test.ts has both protocols.
  const once = path === "wisp/" ? "" : " (skipped: shown with Wisp)";
  test.skipIf(once !== "")(
    `the relay freezes: a reset with a sentence, and the next has a new socket${once}`,
    () =>
      withGuest(async (tunnel) => {
        const connection = tunnel.guest.connect("127.0.0.1", servers.echo.port);
        await connection.write(Buffer.from("hello"));
        while (connection.receivedBytes < 5) await connection.change();
        expect(wire.freezeSockets()).toBeGreaterThan(0);
        await connection.write(Buffer.from("are you there?"));
        await expect(connection.whole()).rejects.toThrow("reset");
        await expect
          .poll(() => tunnel.notices.filter(({ type }) => type === "flow-refused"))
          .toMatchObject([{ code: "no-relay", problem: "The operator's relay has stopped answering." }]);
        expect(await download(tunnel)).toBe(sha256(file));
      }),
  );

  test("a guest that does not read holds nobody else up", () =>
    withGuest(async (tunnel) => {
      const slow = tunnel.guest.connect("127.0.0.1", servers.source.port);
      slow.isPaused = true;
      while (slow.receivedBytes < 10_000) await slow.change();
      expect(await download(tunnel)).toBe(sha256(file));
      // What waits for it is bounded: either all of it comes, or the connection was cut. Never a hang.
      slow.resume();
      const end = await slow.whole().then(sha256, (error: Error) => error.message);
      expect([sha256(file), "the connection is reset"]).toContain(end);
    }));

  test("no relay at all: refused in words", () =>
    withGuest(async (tunnel) => {
      wire.cut();
      await expect(tunnel.guest.connect("127.0.0.1", servers.echo.port).whole()).rejects.toThrow("reset");
      wire.mend();
      const refusals = tunnel.notices.filter((notice) => notice.type === "flow-refused");
      expect(refusals).toMatchObject([
        { code: "no-relay", problem: "The operator's relay does not answer." },
      ]);
    }));
});
