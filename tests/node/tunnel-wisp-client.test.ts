import { client as wispClient } from "@mercuryworkshop/wisp-js/client";
import { describe, expect, test } from "vitest";
import { closedPort, deafServer, echoServer, pattern, sha256, sourceServer } from "../support/loopback.ts";
import { loopbackServers } from "../support/loopback-servers.ts";
import { tunnelSite } from "../support/tunnel-site.ts";

/** The protocol's own client library against the Worker's endpoint in workerd. Close reasons: Wisp 1.2 §"CLOSE". */
const MiB = 2 ** 20;
const PACKET_BYTES = 16 * 1024;
const [VOLUNTARY, REFUSED, BLOCKED] = [0x02, 0x44, 0x48];
const site = tunnelSite();
const file = pattern(4 * MiB, 31);
const servers = loopbackServers({
  echo: echoServer,
  deaf: deafServer,
  source: () => sourceServer(file),
});

type Client = InstanceType<typeof wispClient.ClientConnection>;
type Stream = ReturnType<Client["create_stream"]>;

async function connect(version: number): Promise<Client> {
  const url = new URL("/wisp/", site.url).href.replace(/^http/, "ws");
  const connection = new wispClient.ClientConnection(url, { wisp_version: version });
  await new Promise<void>((resolve, reject) => {
    connection.onopen = resolve;
    connection.onerror = () => reject(new Error("no Wisp connection"));
  });
  return connection;
}
const closing = (stream: Stream): Promise<number> => new Promise((resolve) => (stream.onclose = resolve));

/** Until so many bytes have come. */
function received(stream: Stream, sizeBytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let count = 0;
  return new Promise((resolve, reject) => {
    stream.onmessage = (data) => {
      pieces.push(data.slice());
      if ((count += data.length) >= sizeBytes) resolve(Buffer.concat(pieces));
    };
    stream.onclose = (reason) => reject(new Error(`closed with ${reason} after ${count} bytes`));
  });
}
function sendAll(stream: Stream, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += PACKET_BYTES) stream.send(bytes.subarray(at, at + PACKET_BYTES));
}

describe.each([1, 2])("wisp-js, version %i", { timeout: 240_000 }, (version) => {
  test("speaks that version, and carries bytes both ways by credit", async () => {
    const connection = await connect(version);
    expect([connection.wisp_version, connection.udp_enabled]).toEqual([version, version === 1]);
    const echo = connection.create_stream("127.0.0.1", servers.echo.port);
    const answer = received(echo, file.length);
    sendAll(echo, file);
    // The client's credit is 64 packets: the rest goes when CONTINUE says so.
    expect(echo.send_buffer.length).toBe(file.length / PACKET_BYTES - 64);
    expect(sha256(await answer)).toBe(sha256(file));
    expect(echo.send_buffer).toHaveLength(0);
    connection.close();
  });

  test("a download ends with the whole file and the reason for a good end", async () => {
    const connection = await connect(version);
    const stream = connection.create_stream("127.0.0.1", servers.source.port);
    const pieces: Uint8Array[] = [];
    stream.onmessage = (data) => pieces.push(data.slice());
    expect(await closing(stream)).toBe(VOLUNTARY);
    expect(sha256(Buffer.concat(pieces))).toBe(sha256(file));
    connection.close();
  });

  test("a port that refuses and an address that is forbidden have reasons, and the others go on", async () => {
    const connection = await connect(version);
    const echo = connection.create_stream("127.0.0.1", servers.echo.port);
    const refused = connection.create_stream("127.0.0.1", await closedPort());
    const forbidden = connection.create_stream("10.1.1.1", 80);
    expect(await Promise.all([closing(refused), closing(forbidden)])).toEqual([REFUSED, BLOCKED]);
    const answer = received(echo, 5);
    echo.send(Buffer.from("still"));
    expect((await answer).toString()).toBe("still");
    connection.close();
  });

  test("a peer that never reads takes no more than sockets and credit hold", async () => {
    const connection = await connect(version);
    const deaf = connection.create_stream("127.0.0.1", servers.deaf.port);
    for (let count = 0; count < 1024; count++) deaf.send(Buffer.alloc(4 * PACKET_BYTES));
    const echo = connection.create_stream("127.0.0.1", servers.echo.port);
    for (let round = 0; round < 50; round++) {
      const answer = received(echo, 1);
      echo.send(Buffer.from("x"));
      await answer;
    }
    const takenMiB = 64 - (deaf.send_buffer.length * 4 * PACKET_BYTES) / MiB;
    console.log(`of 64 MiB to a peer that never reads ${takenMiB.toFixed(1)} MiB were let go`);
    expect(deaf.send_buffer.length).toBeGreaterThan(0);
    connection.close();
  });
});

test("datagrams are refused in each version's own way", async () => {
  // Version 1 cannot say beforehand that there are none: the stream is closed with a reason.
  const first = await connect(1);
  expect(await closing(first.create_stream("127.0.0.1", 9, "udp"))).toBe(BLOCKED);
  first.close();
  // Version 2 says it with its INFO, and the library does not even ask.
  const second = await connect(2);
  expect(() => second.create_stream("127.0.0.1", 9, "udp")).toThrow("udp is not enabled");
  second.close();
});

test("closing a stream closes the connection behind it", async () => {
  const connection = await connect(2);
  const echo = connection.create_stream("127.0.0.1", servers.echo.port);
  const answer = received(echo, 2);
  echo.send(Buffer.from("hi"));
  await answer;
  const [socket] = [...servers.echo.open].slice(-1);
  const gone = new Promise((resolve) => socket!.once("close", resolve));
  echo.close();
  await gone;
  expect(servers.echo.open.has(socket!)).toBe(false);
  connection.close();
});
