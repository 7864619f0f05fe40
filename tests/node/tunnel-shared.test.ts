import { createHmac, randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { TcpMuxParser, encodeTcpMux } from "#protocol/tcp-mux.ts";
import { echoServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { forgetTunnel } from "../support/forget-tunnel.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { TestSocket, tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const SECRET = "a-test-secret-of-a-site";
const site = tunnelSite({
  VIRGA_TUNNEL_AUTH: "jwt",
  VIRGA_TUNNEL_JWT_SECRET: SECRET,
  VIRGA_EGRESS_PORTS_GUEST: "all",
  VIRGA_EGRESS_LIMITS_GUEST: "flows=3,connections=0,burst=5,bytes=100000,hosts=10",
  VIRGA_EGRESS_SESSIONS_PER_ACCOUNT: "2",
  VIRGA_EGRESS_SESSIONS_PER_ADDRESS: "0",
});
const strangers = tunnelSite({
  VIRGA_TUNNEL_AUTH: "none",
  VIRGA_EGRESS_LIMITS_ANONYMOUS: "flows=3,connections=100,burst=100,hosts=100",
  VIRGA_EGRESS_SESSIONS_PER_ADDRESS: "2",
});
const servers = loopbackServers({ echo: echoServer });

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
/** A session of its own of this account. */
function tokenOf(account: string): { sid: string; headers: Record<string, string> } {
  const sid = randomUUID();
  const iat = Math.floor(Date.now() / 1000);
  const text = `${part({ alg: "HS256" })}.${part({ sid, iat, exp: iat + 300, sub: account })}`;
  const mac = createHmac("sha256", SECRET).update(text).digest("base64url");
  return { sid, headers: { authorization: `Bearer ${text}.${mac}` } };
}

/** Opens streams one after the other, until one is refused: how many there are, and why there are no more. */
async function openAll(
  headers: Record<string, string>,
  at = site,
): Promise<{ open: number; why: string; socket: TestSocket }> {
  const socket = await TestSocket.open(at, "/tcp-mux", ["aero-tcp-mux-v1"], headers);
  const parser = new TcpMuxParser();
  for (let open = 0; ; open++) {
    socket.send(encodeTcpMux.open(open + 1, "127.0.0.1", servers.echo.port));
    socket.send(encodeTcpMux.data(open + 1, Buffer.from("x")));
    const message = await socket.next();
    for (const frame of parser.push(new Uint8Array(message as Buffer)).frames)
      if (frame.type === "error") return { open, why: frame.text, socket };
  }
}

describe("sessions of one account", () => {
  test("share what may be open at once, and say whose bound it is", async () => {
    const account = randomUUID();
    const first = await openAll(tokenOf(account).headers);
    expect([first.open, first.why]).toEqual([3, "Too many connections are open at once."]);
    const second = await openAll(tokenOf(account).headers);
    const third = await openAll(tokenOf(account).headers);
    // Two sessions' worth; places that are lent and not used are missing elsewhere, one for each tunnel at most.
    const all = first.open + second.open + third.open;
    expect([all >= 4, all <= 6]).toEqual([true, true]);
    expect(third.why).toBe("Too many connections are open at once, of this account together.");
    const stranger = await openAll(tokenOf(randomUUID()).headers);
    expect(stranger.open).toBe(3);
    for (const { socket } of [first, second, third, stranger]) socket.drop();
  });

  test("share the rate of new ones; a tunnel that loses its memory has no more of them than before", async () => {
    const account = randomUUID();
    let opened = 0;
    let why = "";
    for (let tries = 0; tries < 8; tries++) {
      const { sid, headers } = tokenOf(account);
      const { open, why: said, socket } = await openAll(headers);
      opened += open;
      why = said;
      socket.drop();
      // Places come back when sockets close or a minute after they are lost; the rate's tokens never do.
      await forgetTunnel(site.server, sid);
      if (open === 0) break;
    }
    // Two sessions' burst; what a lost tunnel had borrowed is lost with it.
    expect(opened).toBeLessThanOrEqual(10);
    expect(opened).toBeGreaterThanOrEqual(3);
    expect(why).toContain("of this account together");
  });
});

test("sessions from one address share it, a /64 of IPv6 being one, and strangers elsewhere do not", async () => {
  const from = async (address: string) =>
    openAll({ ...(await visitorHeaders(strangers)), "cf-connecting-ip": address }, strangers);
  const neighbours = [
    await from("2001:db8:1:2::1"),
    await from("2001:db8:1:2:3:4:5:6"),
    await from("2001:db8:1:2::9"),
  ];
  const all = neighbours.reduce((sum, { open }) => sum + open, 0);
  expect([neighbours[0]!.open, all >= 4, all <= 6]).toEqual([3, true, true]);
  expect(neighbours[2]!.why).toBe(
    "Too many connections are open at once, from this network address together.",
  );
  const elsewhere = await from("2001:db8:1:3::1");
  expect(elsewhere.open).toBe(3);
  for (const { socket } of [...neighbours, elsewhere]) socket.drop();
});

test("a page is told which bound its machine has met", async () => {
  const url = new URL("/l2", strangers.url).href.replace(/^http/, "ws");
  const machine = await new VirgaGuest(url, { headers: await visitorHeaders(strangers) }).ready();
  const open = [1, 2, 3].map(() => machine.guest.connect("198.18.0.1", servers.echo.port));
  for (const connection of open) {
    await connection.write(Buffer.from("x"));
    while (connection.receivedBytes < 1) await connection.change();
  }
  await expect(machine.guest.connect("198.18.0.1", servers.echo.port).whole()).rejects.toThrow("reset");
  await expect
    .poll(() => machine.notices.find(({ type }) => type === "quota"), { timeout: 20_000 })
    .toEqual({ type: "quota", of: "flows", limit: 3, retryAfterMs: 0 });
  machine.stop();
});
