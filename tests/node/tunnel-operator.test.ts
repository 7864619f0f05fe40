import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { TcpMuxParser, encodeTcpMux } from "#protocol/tcp-mux.ts";
import { echoServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { sidOf } from "../support/forget-tunnel.ts";
import { GuestDatagrams } from "../support/guest-datagrams.ts";
import { VirgaGuest } from "../support/net-guest.ts";
import { TestSocket, tunnelSite, visitorHeaders } from "../support/tunnel-site.ts";

const TOKEN = "a-test-operator";
const site = tunnelSite({ VIRGA_OPERATOR_TOKEN: TOKEN, VIRGA_TUNNEL_AUTH: "none" });
const servers = loopbackServers({ echo: echoServer });

const operator = (method: string, path: string, body?: object, token = TOKEN): Promise<Response> =>
  fetch(new URL(`/api/operator${path}`, site.url), {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  });
const virga = (...words: string[]) =>
  promisify(execFile)(process.execPath, [
    join(import.meta.dirname, "../../infra/cli/virga.ts"),
    ...words,
    "--url",
    site.url.href,
    "--token",
    TOKEN,
  ]);

/** A stream to the echo server, open: its first byte has come back. */
async function openStream(headers: Record<string, string>): Promise<TestSocket> {
  const socket = await TestSocket.open(site, "/tcp-mux", ["aero-tcp-mux-v1"], headers);
  socket.send(encodeTcpMux.open(1, "127.0.0.1", servers.echo.port));
  socket.send(encodeTcpMux.data(1, Buffer.from("x")));
  expect(await answerOf(socket)).toBe("x");
  return socket;
}
/** The first DATA or the words of the first ERROR. */
async function answerOf(socket: TestSocket): Promise<string> {
  const parser = new TcpMuxParser();
  for (;;) {
    const message = await socket.next();
    if (message === undefined) return `closed ${socket.closed!.code} ${socket.closed!.reason}`;
    for (const frame of parser.push(new Uint8Array(message as Buffer)).frames) {
      if (frame.type === "data") return Buffer.from(frame.bytes).toString();
      if (frame.type === "error") return `error: ${frame.text}`;
    }
  }
}
async function metric(name: string): Promise<number> {
  const text = await (await fetch(new URL("/metrics", site.url))).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)![1]);
}

test("only operators may ask", async () => {
  for (const token of ["", "wrong", "local-publisher"]) {
    expect((await operator("GET", "/tunnels", undefined, token)).status).toBe(401);
    expect((await operator("POST", "/hang-ups", { subject: "all" }, token)).status).toBe(401);
  }
  expect((await operator("POST", "/hang-ups", { subject: "everybody" })).status).toBe(400);
  expect((await operator("GET", "/tunnels?subject=address:x")).status).toBe(400);
  expect((await operator("DELETE", "/hang-ups/session:nobody")).status).toBe(404);
});

describe("the kill switch", () => {
  test("ends a session's running connections, refuses new ones in words, and lets it in again", async () => {
    const headers = await visitorHeaders(site);
    const subject = `session:${sidOf(headers)}`;
    const other = await openStream(await visitorHeaders(site));
    const running = await openStream(headers);
    const listed = (await (await operator("GET", `/tunnels?subject=${subject}`)).json()) as {
      tunnels: { kind: string; sockets: number }[];
    };
    expect(listed.tunnels).toMatchObject([{ kind: "tunnel", sockets: 1 }]);
    const sentence = "Please write to us.";
    const told = await operator("POST", "/hang-ups", { subject, sentence });
    expect(await told.json()).toEqual({ reached: 1, left: 0 });
    expect(await running.untilClosed()).toEqual({ code: 1008, reason: sentence });
    const again = await TestSocket.open(site, "/tcp-mux", ["aero-tcp-mux-v1"], headers);
    again.send(encodeTcpMux.open(1, "127.0.0.1", servers.echo.port));
    // Whichever comes first: the dial is refused, or the socket closed.
    expect(await answerOf(again)).toContain(sentence);
    await expect(
      TestSocket.open(site, `/tcp?host=127.0.0.1&port=${servers.echo.port}`, [], headers),
    ).rejects.toThrow("403");
    // Somebody else's go on.
    other.send(encodeTcpMux.data(1, Buffer.from("y")));
    expect(await answerOf(other)).toBe("y");
    other.drop();
    expect((await operator("DELETE", `/hang-ups/${encodeURIComponent(subject)}`)).status).toBe(204);
    (await openStream(headers)).drop();
  });

  test("a guest's page is told by its own protocol", async () => {
    const headers = await visitorHeaders(site);
    const url = new URL("/l2", site.url).href.replace(/^http/, "ws");
    const page = await new VirgaGuest(url, { headers }).ready();
    const connection = page.guest.connect("198.18.0.1", servers.echo.port);
    await connection.write(Buffer.from("x"));
    while (connection.receivedBytes < 1) await connection.change();
    await virga("tunnels", "hang-up", `session:${sidOf(headers)}`, "--say", "Not you.", "--minutes", "5");
    await expect.poll(() => page.byes.at(-1), { timeout: 30_000 }).toEqual({ code: 6, sentence: "Not you." });
    const { stdout } = await virga("tunnels", "list");
    expect(stdout).toMatch(new RegExp(`hung up\\tsession:${sidOf(headers)}\\t20\\S+Z\\tNot you\\.`));
    page.stop();
    await virga("tunnels", "allow", `session:${sidOf(headers)}`);
  });

  test("hangs up everybody", async () => {
    const running = await Promise.all([1, 2, 3].map(async () => openStream(await visitorHeaders(site))));
    await virga("tunnels", "hang-up", "all");
    for (const socket of running) expect((await socket.untilClosed()).code).toBe(1008);
    const late = await TestSocket.open(site, "/tcp-mux", ["aero-tcp-mux-v1"], await visitorHeaders(site));
    late.send(encodeTcpMux.open(1, "127.0.0.1", servers.echo.port));
    expect(await answerOf(late)).toContain("The operator has switched the internet off.");
    await virga("tunnels", "allow", "all");
    (await openStream(await visitorHeaders(site))).drop();
  });

  test("reaches a room's members, whoever of them is meant", async () => {
    const owner = await visitorHeaders(site);
    const made = await fetch(new URL("/api/lans", site.url), {
      method: "POST",
      headers: { ...owner, "content-type": "application/json" },
      body: JSON.stringify({ internet: true }),
    });
    const { tunnelPath } = (await made.json()) as { tunnelPath: string };
    const url = new URL(tunnelPath, site.url).href.replace(/^http/, "ws");
    const [first, second] = await Promise.all(
      [owner, await visitorHeaders(site)].map((headers) => new VirgaGuest(url, { headers }).ready()),
    );
    await operator("POST", "/hang-ups", {
      subject: `session:${sidOf(owner)}`,
      sentence: "The room is closed.",
    });
    await expect.poll(() => first!.byes.at(-1)?.sentence, { timeout: 30_000 }).toBe("The room is closed.");
    expect(second!.byes).toEqual([]);
    first!.stop();
    second!.stop();
    await operator("DELETE", `/hang-ups/session:${sidOf(owner)}`);
  });
});

test("/metrics says what the objects have carried, after they are gone too", async () => {
  const before = await metric("l2_frames_rx_total");
  const headers = await visitorHeaders(site);
  const url = new URL("/l2", site.url).href.replace(/^http/, "ws");
  const page = await new VirgaGuest(url, { headers }).ready();
  const connection = page.guest.connect("198.18.0.1", servers.echo.port);
  await connection.write(Buffer.from(randomUUID()));
  while (connection.receivedBytes < 36) await connection.change();
  await expect(page.guest.connect("10.99.0.1", 80).whole()).rejects.toThrow("reset");
  const udp = new GuestDatagrams(page.guest);
  udp.send(4000, "192.0.2.7", 9999, "x");
  expect(await udp.next()).toEqual({ icmp: "port", toPort: 9999 });
  const denied = await metric("l2_policy_denied_total");
  page.stop();
  await expect
    .poll(() => metric("l2_frames_rx_total"), { timeout: 60_000, interval: 1000 })
    .toBeGreaterThan(before);
  await expect
    .poll(() => metric("l2_policy_denied_total"), { timeout: 60_000, interval: 1000 })
    .toBeGreaterThanOrEqual(denied);
  await expect
    .poll(() => metric("l2_udp_send_fail_total"), { timeout: 60_000, interval: 1000 })
    .toBeGreaterThan(0);
  await expect.poll(() => metric("l2_sessions_active"), { timeout: 60_000, interval: 1000 }).toBe(0);
  for (const name of [
    "l2_sessions_total",
    "l2_bytes_tx_total",
    "virga_dials_near_total",
    "virga_sessions_hung_up_total",
  ])
    expect(await metric(name)).toBeGreaterThan(0);
  expect(await metric("l2_capture_frames_total")).toBe(0);
});
