import { describe, expect, test } from "vitest";
import { sidOf } from "../support/forget-tunnel.ts";
import { closedPort, echoServer, hashServer, pattern, sha256, sourceServer } from "../support/loopback.ts";
import { GuestDatagrams } from "../support/guest-datagrams.ts";
import { VirgaGuest, frameGuest } from "../support/net-guest.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { silentPort } from "../support/silent-port.ts";
import { TestSocket, tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const site = tunnelSite();
const MiB = 2 ** 20;
const file = pattern(8 * MiB, 11);
const servers = loopbackServers({
  echo: echoServer,
  source: () => sourceServer(file),
  hash: hashServer,
});
const urlOf = (path: string): string => new URL(path, site.url).href.replace(/^http/, "ws");

async function withGuest<T>(use: (tunnel: VirgaGuest) => Promise<T>): Promise<T> {
  const tunnel = await new VirgaGuest(urlOf("/l2"), { headers: await visitorHeaders(site) }).ready();
  try {
    return await use(tunnel);
  } finally {
    tunnel.stop();
  }
}

describe("virga-l2-v1", () => {
  test("a guest's connection echoes, and closes half by half", () =>
    withGuest(async ({ guest }) => {
      const connection = guest.connect("127.0.0.1", servers.echo.port);
      await connection.write(Buffer.from("hello"));
      connection.end();
      expect((await connection.whole()).toString()).toBe("hello");
    }));

  test("a download of 8 MiB arrives whole", () =>
    withGuest(async ({ guest }) => {
      const bytes = await guest.connect("127.0.0.1", servers.source.port).whole();
      expect([bytes.length, sha256(bytes)]).toEqual([file.length, sha256(file)]);
    }));

  test("an upload of 8 MiB arrives whole", () =>
    withGuest(async ({ guest }) => {
      const connection = guest.connect("127.0.0.1", servers.hash.port);
      await connection.write(file);
      connection.end();
      expect((await connection.whole()).toString()).toBe(sha256(file));
    }));

  test("a port that refuses resets at once, and the page is told why", () =>
    withGuest(async (tunnel) => {
      const refused = tunnel.guest.connect("127.0.0.1", await closedPort());
      await expect(refused.whole()).rejects.toThrow("reset");
      const forbidden = tunnel.guest.connect("10.99.0.1", 80);
      await expect(forbidden.whole()).rejects.toThrow("reset");
      const codes = tunnel.notices.flatMap((notice) => (notice.type === "flow-refused" ? [notice.code] : []));
      expect(codes).toEqual(["refused", "private-address"]);
    }));

  test("without a relay for UDP the guest hears that nobody is there, and the page why", () =>
    withGuest(async (tunnel) => {
      const udp = new GuestDatagrams(tunnel.guest);
      for (let i = 0; i < 2; i++) {
        udp.send(4000, "192.0.2.7", 9999, "x");
        expect(await udp.next()).toEqual({ icmp: "port", toPort: 9999 });
      }
      const refused = tunnel.notices.filter(({ type }) => type === "flow-refused");
      expect(refused).toMatchObject([
        { protocol: "udp", code: "no-udp", port: 9999, problem: expect.stringContaining("relay") },
      ]);
    }));

  test("a lost socket loses nothing: the session goes on with the next one", () =>
    withGuest(async (tunnel) => {
      const connection = tunnel.guest.connect("127.0.0.1", servers.source.port);
      let cuts = 0;
      connection.onData = () => {
        if (connection.receivedBytes > (cuts + 1) * 2 * MiB && cuts < 3) {
          cuts++;
          tunnel.cut();
        }
      };
      const bytes = await connection.whole();
      expect([cuts, tunnel.sessions, tunnel.resumed, sha256(bytes)]).toEqual([3, 1, 3, sha256(file)]);
    }));

  test("200 connections at once", () =>
    withGuest(async ({ guest }) => {
      const answers = await Promise.all(
        Array.from({ length: 200 }, async (_, index) => {
          const connection = guest.connect("127.0.0.1", servers.echo.port);
          await connection.write(Buffer.from(`connection ${index}`));
          connection.end();
          return (await connection.whole()).toString();
        }),
      );
      expect(answers).toEqual(Array.from({ length: 200 }, (_, index) => `connection ${index}`));
    }));

  test("a session is told whether name servers answer", () =>
    withGuest(async (tunnel) => {
      const udp = new GuestDatagrams(tunnel.guest);
      // virga.example, A, recursion desired (RFC 1035 §4.1): its answer depends on where this runs, and is one of two.
      const question = Buffer.from("000701000001000000000000057669726761076578616d706c650000010001", "hex");
      udp.send(5353, "10.0.2.2", 53, question);
      await udp.next();
      const told = tunnel.notices.filter(({ type }) => type === "names");
      expect([[{ type: "names" }], [{ type: "names", failing: "virga.example" }]]).toContainEqual(told);
    }));

  test("breaking the protocol ends with BYE 1 and 1008", async () => {
    const socket = await TestSocket.open(site, "/l2", ["virga-l2-v1"]);
    socket.send(Uint8Array.of(99));
    const bye = new Uint8Array((await socket.next()) as Buffer);
    expect([bye[0], bye[1], bye[2]]).toEqual([8, 0, 1]);
    expect((await socket.untilClosed()).code).toBe(1008);
  });
});

describe.each(["aero", "raw"] as const)("%s frames", (kind) => {
  const path = kind === "aero" ? "/l2/" : "/eth/raw";
  test("a download arrives whole", async () => {
    const { guest, socket } = await frameGuest(urlOf(path), kind);
    const bytes = await guest.connect("127.0.0.1", servers.source.port).whole();
    expect([bytes.length, sha256(bytes)]).toEqual([file.length, sha256(file)]);
    guest.stop();
    socket.terminate();
  });
});

describe("aero-l2-tunnel-v1", () => {
  test("an upgrade without its name is refused with 400", async () => {
    for (const path of ["/l2", "/l2/", "/eth"])
      await expect(TestSocket.open(site, path, ["other"])).rejects.toThrow("400");
  });

  test("PING is answered byte for byte, text is ignored, a bad message ends with ERROR 1 and 1008", async () => {
    const socket = await TestSocket.open(site, "/eth", ["aero-l2-tunnel-v1"]);
    expect(socket.socket.protocol).toBe("aero-l2-tunnel-v1");
    socket.send("text");
    socket.send(Buffer.from("a20301000000000000000001", "hex"));
    expect(((await socket.next()) as Buffer).toString("hex")).toBe("a20302000000000000000001");
    socket.send(Buffer.from("a2020000", "hex"));
    expect(((await socket.next()) as Buffer).toString("hex")).toMatch(/^a2037f000001/);
    expect((await socket.untilClosed()).code).toBe(1008);
  });
});

test("a connection does not wait for those to where nobody answers", { timeout: 120_000 }, async () => {
  const hole = await silentPort();
  const headers = await visitorHeaders(site);
  const { TUNNEL } = (await site.server.getWorker().getEnv()) as unknown as {
    readonly TUNNEL: { getByName(name: string): { metrics(): Promise<{ near: number; sharded: number }> } };
  };
  const tunnel = await new VirgaGuest(urlOf("/l2"), { headers }).ready();
  // The object itself makes four connections at a time, and each of these keeps a place for ten seconds.
  const unanswered = Array.from({ length: 6 }, () => tunnel.guest.connect("127.0.0.1", hole.port));
  const connection = tunnel.guest.connect("127.0.0.1", servers.echo.port);
  await connection.write(Buffer.from("x"));
  while (connection.receivedBytes < 1) await connection.change();
  // Two of them and the one that is answered: a shard's.
  expect((await TUNNEL.getByName(sidOf(headers)).metrics()).sharded).toBe(3);
  for (const flow of unanswered) flow.abort();
  tunnel.stop();
  await hole.close();
});
