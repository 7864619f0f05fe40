import { createSocket } from "node:dgram";
import { once } from "node:events";
import { client as wispClient } from "@mercuryworkshop/wisp-js/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { TcpMuxParser, encodeTcpMux } from "#protocol/tcp-mux.ts";
import { decodeRelayDatagram, encodeRelayDatagram } from "#protocol/udp-relay.ts";
import { type Relay, startRelay } from "../../infra/relay/relay.ts";
import {
  type LoopbackServer,
  echoServer,
  hashServer,
  pattern,
  sha256,
  sourceServer,
} from "../support/loopback.ts";
import { VirgaGuest, frameGuest } from "../support/net-guest.ts";

const MiB = 2 ** 20;
const file = pattern(4 * MiB, 9);
const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };
let relay: Relay;
const servers = {} as Record<"echo" | "source" | "hash", LoopbackServer>;
beforeAll(async () => {
  relay = await startRelay({ port: 0, host: "127.0.0.1", token: "secret", env });
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

  test("asks for its token, and without one listens on loopback only", async () => {
    const socket = new WebSocket(`${relay.url}/tcp-mux`, ["aero-tcp-mux-v1"]);
    const [error] = (await once(socket, "error").catch((thrown: unknown) => [thrown])) as [Error];
    expect(error.message).toContain("401");
    await expect(startRelay({ port: 0, host: "0.0.0.0", token: "", env })).rejects.toThrow("token");
  });

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
