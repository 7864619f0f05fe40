import { describe, expect, test } from "vitest";
import { TcpMuxParser, encodeTcpMux } from "#protocol/tcp-mux.ts";
import { decodeRelayDatagram, encodeRelayDatagram } from "#protocol/udp-relay.ts";
import { decodeWisp, encodeWisp } from "#protocol/wisp.ts";
import { closedPort, echoServer, hashServer, pattern, sha256, sourceServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { TestSocket, tunnelSite } from "../support/tunnel-site.ts";

const site = tunnelSite();
const MiB = 2 ** 20;
const file = pattern(8 * MiB, 7);
const servers = loopbackServers({
  echo: echoServer,
  source: () => sourceServer(file),
  hash: hashServer,
});

/** A mux client that gathers what each stream gets. PING is answered, as the protocol asks. */
class MuxPeer {
  readonly socket: TestSocket;
  readonly #parser = new TcpMuxParser();
  readonly #data = new Map<number, Uint8Array[]>();
  constructor(socket: TestSocket) {
    this.socket = socket;
  }
  /** All of a stream, and how it ended. */
  async whole(stream: number): Promise<{ bytes: Buffer; end: string }> {
    for (;;) {
      const message = await this.socket.next();
      if (message === undefined) return { bytes: Buffer.concat(this.#data.get(stream) ?? []), end: "socket" };
      for (const frame of this.#parser.push(new Uint8Array(message as Buffer)).frames) {
        if (frame.type === "ping") this.socket.send(encodeTcpMux.pong(frame.bytes));
        if (frame.type === "data")
          this.#data.set(frame.stream, [...(this.#data.get(frame.stream) ?? []), frame.bytes]);
        if (frame.stream !== stream) continue;
        const bytes = Buffer.concat(this.#data.get(stream) ?? []);
        if (frame.type === "close") return { bytes, end: frame.fin ? "fin" : "rst" };
        if (frame.type === "error") return { bytes, end: `error ${frame.code}` };
      }
    }
  }
}
const mux = async () => new MuxPeer(await TestSocket.open(site, "/tcp-mux", ["aero-tcp-mux-v1"]));

describe("aero-tcp-mux-v1", () => {
  test("carries bytes both ways, and a half-close", async () => {
    const peer = await mux();
    peer.socket.send(encodeTcpMux.open(1, "127.0.0.1", servers.echo.port));
    peer.socket.send(encodeTcpMux.data(1, Buffer.from("hello")));
    peer.socket.send(encodeTcpMux.close(1, "fin"));
    expect(await peer.whole(1)).toEqual({ bytes: Buffer.from("hello"), end: "fin" });
    peer.socket.drop();
  });

  test("a download arrives whole", async () => {
    const peer = await mux();
    peer.socket.send(encodeTcpMux.open(5, "127.0.0.1", servers.source.port));
    const { bytes, end } = await peer.whole(5);
    expect([bytes.length, sha256(bytes), end]).toEqual([file.length, sha256(file), "fin"]);
    peer.socket.drop();
  });

  test("an upload arrives whole", async () => {
    const peer = await mux();
    peer.socket.send(encodeTcpMux.open(9, "127.0.0.1", servers.hash.port));
    const upload = file.subarray(0, MiB);
    for (let at = 0; at < upload.length; at += 16_384)
      peer.socket.send(encodeTcpMux.data(9, upload.subarray(at, at + 16_384)));
    peer.socket.send(encodeTcpMux.close(9, "fin"));
    expect((await peer.whole(9)).bytes.toString()).toBe(sha256(upload));
    peer.socket.drop();
  });

  test("says what went wrong with a stream, and stays", async () => {
    const peer = await mux();
    peer.socket.send(encodeTcpMux.open(2, "127.0.0.1", await closedPort()));
    expect((await peer.whole(2)).end).toBe("error 2");
    peer.socket.send(encodeTcpMux.open(3, "10.1.2.3", 80));
    expect((await peer.whole(3)).end).toBe("error 1");
    peer.socket.send(encodeTcpMux.data(4, Buffer.from("x")));
    expect((await peer.whole(4)).end).toBe("error 4");
    peer.socket.send(encodeTcpMux.open(0, "127.0.0.1", servers.echo.port));
    expect((await peer.whole(0)).end).toBe("error 3");
    peer.socket.drop();
  });

  test("closes on text, and refuses an upgrade without its name", async () => {
    const peer = await mux();
    peer.socket.send("text");
    expect((await peer.socket.untilClosed()).code).toBe(1003);
    await expect(TestSocket.open(site, "/tcp-mux")).rejects.toThrow("400");
  });
});

describe("/tcp", () => {
  test.each(["host=127.0.0.1&port=", "v=1&target=127.0.0.1:"])("%s", async (query) => {
    const socket = await TestSocket.open(site, `/tcp?${query}${servers.echo.port}`);
    socket.send(Buffer.from("one"));
    expect(await socket.next()).toEqual(Buffer.from("one"));
    socket.send("two");
    expect(await socket.next()).toEqual(Buffer.from("two"));
    socket.drop();
  });

  test("the end of the stream closes with 1000", async () => {
    const socket = await TestSocket.open(site, `/tcp?host=127.0.0.1&port=${servers.source.port}`);
    const pieces: Buffer[] = [];
    for (let piece = await socket.next(); piece !== undefined; piece = await socket.next())
      pieces.push(piece as Buffer);
    expect([sha256(Buffer.concat(pieces)), socket.closed?.code]).toEqual([sha256(file), 1000]);
  });

  test.each([
    ["/tcp", "400"],
    ["/tcp?host=127.0.0.1&port=0", "400"],
    ["/tcp?host=127.0.0.1&port=99999", "400"],
    ["/tcp?v=2&host=127.0.0.1&port=80", "400"],
    ["/tcp?host=10.0.0.1&port=80", "403"],
    [`/tcp?host=127.0.0.1&port=80&x=${"x".repeat(9000)}`, "414"],
  ])("%s is refused with %s", async (path, status) => {
    await expect(TestSocket.open(site, path)).rejects.toThrow(status);
  });

  test("a port that refuses is 502", async () => {
    await expect(TestSocket.open(site, `/tcp?host=127.0.0.1&port=${await closedPort()}`)).rejects.toThrow(
      "502",
    );
  });
});

const wispPacket = async (socket: TestSocket) => {
  const message = await socket.next();
  const packet = decodeWisp(new Uint8Array(message as Buffer));
  return packet.ok ? packet.value : packet.failure;
};

describe("Wisp", () => {
  test("version 1: credit first, then a stream", async () => {
    const socket = await TestSocket.open(site, "/wisp/");
    expect(await wispPacket(socket)).toEqual({ type: "continue", stream: 0, packets: 64 });
    socket.send(encodeWisp.connect(9, "tcp", "127.0.0.1", servers.echo.port));
    socket.send(encodeWisp.data(9, Buffer.from("wisp")));
    expect(await wispPacket(socket)).toEqual({
      type: "data",
      stream: 9,
      bytes: new Uint8Array(Buffer.from("wisp")),
    });
    socket.drop();
  });

  test("version 2: INFO both ways before the credit", async () => {
    const socket = await TestSocket.open(site, "/wisp/", ["wisp-v2"]);
    expect(socket.socket.protocol).toBe("wisp-v2");
    expect(await wispPacket(socket)).toMatchObject({ type: "info", major: 2, extensions: [{ id: 5 }] });
    socket.send(encodeWisp.info([{ id: 5, payload: new Uint8Array(0) }]));
    expect(await wispPacket(socket)).toMatchObject({ type: "continue", stream: 0 });
    socket.send(encodeWisp.connect(1, "tcp", "127.0.0.1", servers.echo.port));
    expect(await wispPacket(socket)).toMatchObject({ type: "continue", stream: 1 });
    socket.drop();
  });

  test("refusals have reasons", async () => {
    const socket = await TestSocket.open(site, "/wisp/");
    await socket.next();
    socket.send(encodeWisp.connect(1, "tcp", "127.0.0.1", await closedPort()));
    expect(await wispPacket(socket)).toEqual({ type: "close", stream: 1, reason: 0x44 });
    socket.send(encodeWisp.connect(2, "tcp", "192.168.1.1", 80));
    expect(await wispPacket(socket)).toEqual({ type: "close", stream: 2, reason: 0x48 });
    socket.send(encodeWisp.connect(3, "udp", "127.0.0.1", 5000));
    expect(await wispPacket(socket)).toEqual({ type: "close", stream: 3, reason: 0x48 });
    socket.drop();
  });

  test("wsproxy: the path names the one connection", async () => {
    const socket = await TestSocket.open(site, `/wisp/127.0.0.1:${servers.echo.port}`);
    socket.send(Buffer.from("raw"));
    expect(await socket.next()).toEqual(Buffer.from("raw"));
    socket.drop();
  });
});

describe("/udp", () => {
  const ask = (port: number, payload: Uint8Array) =>
    encodeRelayDatagram({
      version: 1,
      guestPort: 5353,
      remoteIp: Uint8Array.of(192, 0, 2, 1),
      remotePort: port,
      payload,
    })!;

  test("NTP is answered, the rest gets a typed error", async () => {
    const socket = await TestSocket.open(site, "/udp");
    expect(JSON.parse((await socket.next()) as string)).toMatchObject({ type: "ready" });
    const request = new Uint8Array(48);
    request[0] = 0x23;
    socket.send(ask(123, request));
    const answer = decodeRelayDatagram(new Uint8Array((await socket.next()) as Buffer));
    expect([answer?.remotePort, answer?.guestPort, answer?.payload.length]).toEqual([123, 5353, 48]);
    expect(answer!.payload[0]! & 7).toBe(4);
    socket.send(ask(9999, request));
    expect(JSON.parse((await socket.next()) as string)).toMatchObject({
      type: "error",
      code: "unsupported_destination",
    });
    socket.drop();
  });
});
