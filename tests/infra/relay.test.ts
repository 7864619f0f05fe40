import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { client as wispClient } from "@mercuryworkshop/wisp-js/client";
import * as wispServer from "@mercuryworkshop/wisp-js/server";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { TcpMuxParser, encodeTcpMux } from "#protocol/tcp-mux.ts";
import { decodeRelayDatagram, encodeRelayDatagram } from "#protocol/udp-relay.ts";
import { decodeWisp } from "#protocol/wisp.ts";
import { WispClient } from "../../durable-objects/gateway/wisp-client.ts";
import { type Relay, startRelay } from "../../infra/relay/relay.ts";
import { mintRelayToken } from "../../worker/relay-token.ts";
import {
  type LoopbackServer,
  echoServer,
  hashServer,
  pattern,
  sha256,
  sourceServer,
} from "../support/loopback.ts";
import { GuestDatagrams, udpEcho } from "../support/guest-datagrams.ts";
import { VirgaGuest, frameGuest } from "../support/net-guest.ts";
import { TestSocket } from "../support/tunnel-site.ts";

const MiB = 2 ** 20;
const file = pattern(4 * MiB, 9);
const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };
const JWT_SECRET = "a secret of site and relay";
let relay: Relay;
const servers = {} as Record<"echo" | "source" | "hash", LoopbackServer>;
beforeAll(async () => {
  relay = await startRelay({ port: 0, host: "127.0.0.1", token: "secret", jwtSecret: JWT_SECRET, env });
  Object.assign(servers, {
    echo: await echoServer(),
    source: await sourceServer(file),
    hash: await hashServer(),
  });
});
afterAll(async () => {
  await relay.close();
  for (const server of Object.values(servers)) await server.close();
});
const at = (path: string): string => `${relay.url}${path}?token=secret`;

async function withGuest(use: (guest: VirgaGuest) => Promise<void>): Promise<void> {
  const guest = await new VirgaGuest(at("/l2")).ready();
  await use(guest);
  guest.stop();
}

describe("the relay", () => {
  test("carries a guest's flows, and goes on after a lost socket", () =>
    withGuest(async (tunnel) => {
      const connection = tunnel.guest.connect("127.0.0.1", servers.source.port);
      let isCut = false;
      connection.onData = () => {
        if (!isCut && connection.receivedBytes > MiB) tunnel.cut();
        isCut ||= connection.receivedBytes > MiB;
      };
      expect(sha256(await connection.whole())).toBe(sha256(file));
      expect([tunnel.sessions, tunnel.resumed]).toEqual([1, 1]);
      const upload = tunnel.guest.connect("127.0.0.1", servers.hash.port);
      await upload.write(file);
      upload.end();
      expect((await upload.whole()).toString()).toBe(sha256(file));
    }));

  test.each(["aero", "raw"] as const)("speaks %s frames", async (kind) => {
    const { guest, socket } = await frameGuest(at(kind === "aero" ? "/l2" : "/eth/raw"), kind);
    expect(sha256(await guest.connect("127.0.0.1", servers.source.port).whole())).toBe(sha256(file));
    guest.stop();
    socket.terminate();
  });

  test("applies the policy: what is private is refused", () =>
    withGuest(async ({ guest }) => {
      await expect(guest.connect("10.1.1.1", 80).whole()).rejects.toThrow("reset");
    }));

  test("carries multiplexed streams", async () => {
    const socket = new WebSocket(at("/tcp-mux"), ["aero-tcp-mux-v1"]);
    await once(socket, "open");
    const parser = new TcpMuxParser();
    const answer = new Promise<string>((resolve) =>
      socket.on("message", (message: Buffer) => {
        for (const frame of parser.push(new Uint8Array(message)).frames)
          if (frame.type === "data") resolve(Buffer.from(frame.bytes).toString());
      }),
    );
    socket.send(encodeTcpMux.open(1, "127.0.0.1", servers.echo.port));
    socket.send(encodeTcpMux.data(1, Buffer.from("mux")));
    expect(await answer).toBe("mux");
    socket.terminate();
  });

  test("carries datagrams to where they are sent, and answers back", async () => {
    const world = createSocket("udp4");
    world.on("message", (payload, from) =>
      world.send(Buffer.from(payload).reverse(), from.port, from.address),
    );
    world.bind(0, "127.0.0.1");
    await once(world, "listening");
    const remotePort = world.address().port;
    const socket = new WebSocket(at("/udp"));
    const answer = new Promise<Buffer>((resolve) =>
      socket.on("message", (message: Buffer, isBinary) => isBinary && resolve(message)),
    );
    await once(socket, "open");
    const datagram = {
      version: 2,
      guestPort: 4000,
      remoteIp: Uint8Array.of(127, 0, 0, 1),
      remotePort,
      payload: Buffer.from("abc"),
    } as const;
    socket.send(encodeRelayDatagram(datagram)!);
    const back = decodeRelayDatagram(new Uint8Array(await answer));
    expect([back?.version, back?.guestPort, Buffer.from(back!.payload).toString()]).toEqual([2, 4000, "cba"]);
    socket.terminate();
    world.close();
  });

  test("carries a guest's own datagrams, names and all", () =>
    withGuest(async ({ guest }) => {
      const echo = await udpEcho();
      const udp = new GuestDatagrams(guest);
      udp.send(4000, "127.0.0.1", echo.port, "abc");
      expect(await udp.next()).toMatchObject({ toPort: 4000, payload: Buffer.from("cba") });
      udp.send(4000, "10.1.1.1", echo.port, "abc");
      expect(await udp.next()).toEqual({ icmp: "prohibited", toPort: echo.port });
      echo.close();
    }));

  describe("/udp for who has a site's token", () => {
    const ask = { version: 1, guestPort: 5000, remoteIp: Uint8Array.of(127, 0, 0, 1) } as const;
    const iat = Math.floor(Date.now() / 1000);
    const tokenOf = (sid: string, secret = JWT_SECRET): Promise<string> =>
      mintRelayToken(secret, { sid, iat, exp: iat + 300 });
    const open = (query = ""): Promise<TestSocket> =>
      TestSocket.open({ url: new URL(relay.url) }, `/udp${query}`);
    const told = async (socket: TestSocket): Promise<unknown> => JSON.parse((await socket.next()) as string);

    test("opens, answers pings, and is one session at a time", async () => {
      const echo = await udpEcho();
      const token = await tokenOf("one");
      const socket = await open(`?token=${token}`);
      expect(await told(socket)).toEqual({
        type: "ready",
        sessionId: "one",
        maxPayloadBytes: 65_507,
        pings: true,
      });
      socket.send(encodeRelayDatagram({ ...ask, remotePort: echo.port, payload: Buffer.from("ab") })!);
      const answer = decodeRelayDatagram(new Uint8Array((await socket.next()) as Buffer));
      expect([answer?.version, Buffer.from(answer!.payload).toString()]).toEqual([1, "ba"]);
      socket.send(JSON.stringify({ type: "ping" }));
      expect(await socket.next()).toBe('{"type":"pong"}');
      const second = await open();
      second.send(JSON.stringify({ type: "auth", token }));
      expect(await told(second)).toMatchObject({ type: "error", code: "session_already_active" });
      expect((await second.untilClosed()).code).toBe(1008);
      socket.drop();
      echo.close();
    });

    const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
      all?.some(({ address }) => address === "::1"),
    );
    test.skipIf(!hasIpv6)(`over IPv6${hasIpv6 ? "" : " (skipped: this machine has no ::1)"}`, async () => {
      const echo = await udpEcho("::1");
      const socket = await open("?token=secret");
      await socket.next();
      const remoteIp = new Uint8Array(16);
      remoteIp[15] = 1;
      const ends = { version: 2, guestPort: 5001, remoteIp, remotePort: echo.port } as const;
      socket.send(encodeRelayDatagram({ ...ends, payload: Buffer.from("ab") })!);
      const answer = decodeRelayDatagram(new Uint8Array((await socket.next()) as Buffer));
      expect(answer).toMatchObject({ ...ends, payload: new Uint8Array(Buffer.from("ba")) });
      socket.drop();
      echo.close();
    });

    test("says of which conversation a refusal is", async () => {
      const socket = await open("?apiKey=secret");
      expect(await told(socket)).toMatchObject({ type: "ready" });
      const remoteIp = Uint8Array.of(10, 1, 1, 1);
      socket.send(encodeRelayDatagram({ ...ask, remoteIp, remotePort: 99, payload: Buffer.from("ab") })!);
      expect(await told(socket)).toMatchObject({
        code: "unsupported_destination",
        guestPort: 5000,
        address: "10.1.1.1",
        port: 99,
      });
      socket.drop();
    });

    test("does not open with another one, nor does that token open another door", async () => {
      const socket = await open(`?token=${await tokenOf("two", "another secret")}`);
      expect(await told(socket)).toMatchObject({ type: "error", code: "unauthorized" });
      expect((await socket.untilClosed()).code).toBe(1008);
      const path = `/tcp-mux?token=${await tokenOf("three")}`;
      await expect(TestSocket.open({ url: new URL(relay.url) }, path, ["aero-tcp-mux-v1"])).rejects.toThrow(
        "401",
      );
    });
  });

  test("cuts off who goes on beyond the limits of datagrams", async () => {
    const datagrams = { datagramsPerSecond: 1, violations: 10 };
    const small = await startRelay({ port: 0, host: "127.0.0.1", token: "", datagrams, env });
    const socket = await TestSocket.open({ url: new URL(small.url) }, "/udp");
    const remoteIp = Uint8Array.of(127, 0, 0, 1);
    const datagram = {
      version: 1,
      guestPort: 5000,
      remoteIp,
      remotePort: 9,
      payload: Buffer.from("x"),
    } as const;
    for (let i = 0; i < 40; i++) socket.send(encodeRelayDatagram(datagram)!);
    expect((await socket.untilClosed()).code).toBe(1008);
    await small.close();
  });

  test("asks for its token, and without one listens on loopback only", async () => {
    const socket = new WebSocket(`${relay.url}/tcp-mux`, ["aero-tcp-mux-v1"]);
    const [error] = (await once(socket, "error").catch((thrown: unknown) => [thrown])) as [Error];
    expect(error.message).toContain("401");
    await expect(startRelay({ port: 0, host: "0.0.0.0", token: "", env })).rejects.toThrow("token");
  });

  test.each(["this relay", "the reference server"])(
    "what a Wisp client asks a silent server for is refused by %s at once",
    async (which) => {
      const open = await startRelay({ port: 0, host: "127.0.0.1", token: "", env });
      wispServer.logging.set_level(wispServer.logging.NONE);
      Object.assign(wispServer.server.options, { allow_private_ips: true, allow_loopback_ips: true });
      const other = createServer().on("upgrade", (...upgrade) => wispServer.server.routeRequest(...upgrade));
      await once(other.listen(0, "127.0.0.1"), "listening");
      const { port } = other.address() as AddressInfo;
      const url = which === "this relay" ? open.url : `ws://127.0.0.1:${port}`;
      const socket = new WebSocket(`${url}/wisp/`);
      let nowMs = 0;
      const answers: unknown[] = [];
      const outlet = { send: (message: Uint8Array | string) => socket.send(message), close: () => {} };
      const client = new WispClient(outlet, () => nowMs);
      socket.on("message", (message: Buffer) => {
        client.onMessage(new Uint8Array(message));
        const said = decodeWisp(new Uint8Array(message));
        if (said.ok) answers.push(said.value);
      });
      await once(socket, "open");
      const sink = { onOpen() {}, onRefused() {}, onBytes() {}, onEnd() {}, onBroken() {}, onWritten() {} };
      client.dial({ host: "127.0.0.1", port: servers.echo.port }, sink);
      await expect.poll(() => answers, { timeout: 20_000 }).toMatchObject([{ type: "continue", stream: 0 }]);
      // As if nothing had been heard for a minute: the connection stays, what is asked for does not.
      nowMs = 60_000;
      client.onTime();
      await expect
        .poll(() => answers.at(-1), { timeout: 20_000 })
        .toMatchObject({ type: "close", stream: 2 });
      expect(client.streamCount).toBe(1);
      socket.terminate();
      other.close();
      await open.close();
    },
  );

  test.each([1, 2])("the reference client of Wisp, version %i", async (version) => {
    // Its URL ends with a slash, so it cannot carry a token: this relay asks for none.
    const open = await startRelay({ port: 0, host: "127.0.0.1", token: "", env });
    const connection = new wispClient.ClientConnection(`${open.url}/wisp/`, { wisp_version: version });
    await new Promise<void>((resolve, reject) => {
      connection.onopen = resolve;
      connection.onerror = () => reject(new Error("no Wisp connection"));
    });
    const stream = connection.create_stream("127.0.0.1", servers.hash.port);
    const echo = connection.create_stream("127.0.0.1", servers.echo.port);
    const answer = new Promise<string>(
      (resolve) => (echo.onmessage = (data) => resolve(Buffer.from(data).toString())),
    );
    echo.send(new Uint8Array(Buffer.from("wisp")));
    expect(await answer).toBe("wisp");
    stream.close();
    connection.close();
    await open.close();
  });
});
