import { existsSync } from "node:fs";
import * as fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../infra/relay/relay.ts";
import { mintRelayToken } from "../../worker/relay-token.ts";
import { TestSocket } from "../support/tunnel-site.ts";

const isThere = existsSync("node_modules/werift");
const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };
const PIECE_BYTES = 1000;
/** Between two looks: few enough that the relay's socket loses none. */
const PIECES = 20;
/** The library's receive window, and what a peer that is not cut off would have sent. */
const WINDOW_BYTES = 2 ** 20;
const MOST_BYTES = 64 * WINDOW_BYTES;
let relay: Relay | undefined;
afterEach(async () => {
  await relay?.close();
  relay = undefined;
});
const start = async (over: Partial<Parameters<typeof startRelay>[0]> = {}): Promise<string> => {
  const webRtc = { addresses: ["127.0.0.1"] };
  relay = await startRelay({ port: 0, host: "127.0.0.1", token: "", webRtc, env, ...over });
  return relay.url.replace(/^ws/, "http");
};
const post = (url: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
const reason = isThere ? "" : " (skipped: werift is not installed)";

/** DATA (RFC 9260 §3.3.1), unordered. Flags: 2 begins a message, 1 ends it. */
function dataChunk(
  tsn: number,
  flags: number,
  protocol: number,
  stream: number,
  payload: Uint8Array,
): Buffer {
  const chunk = Buffer.alloc((16 + payload.length + 3) & ~3);
  chunk.writeUInt8(4 | flags, 1);
  chunk.writeUInt16BE(16 + payload.length, 2);
  chunk.writeUInt32BE(tsn, 4);
  chunk.writeUInt16BE(stream, 8);
  chunk.writeUInt32BE(protocol, 12);
  chunk.set(payload, 16);
  return chunk;
}
/** A line with a stretch of something else in it. */
const cut = ([line, at, other]: [string, number, string]): string =>
  line.slice(0, at) + other + line.slice(at + other.length);

/** RFC 8831 §8: control of data channels, and bytes. */
const Protocol = { control: 50, bytes: 53 } as const;
/** RFC 8832 §5.2. */
const CHANNEL_ACK = Uint8Array.of(2);

describe.skipIf(!isThere)(`WebRTC${reason}`, () => {
  test("a peer that sends beyond the window is cut off, and the relay goes on", async () => {
    const { RTCPeerConnection } = await import("werift");
    const jwtSecret = "a secret of site and relay";
    const url = await start({ jwtSecret });
    const iat = Math.floor(Date.now() / 1000);
    const authorization = `Bearer ${await mintRelayToken(jwtSecret, { sid: "one", iat, exp: iat + 300 })}`;
    const peer = new RTCPeerConnection({ iceServers: [], iceAdditionalHostAddresses: ["127.0.0.1"] });
    const channel = peer.createDataChannel("udp", { ordered: false, maxRetransmits: 0 });
    await peer.setLocalDescription(await peer.createOffer());
    const { sdp } = peer.localDescription!;
    const offer = () => post(`${url}/offer`, JSON.stringify({ version: 1, offer: sdp }), { authorization });
    const answered = await offer();
    const { answer } = (await answered.json()) as { answer: string };
    const isOpen = new Promise<void>((resolve) => {
      channel.stateChanged.subscribe((state) => {
        if (state === "open") resolve();
      });
    });
    await peer.setRemoteDescription({ type: "answer", sdp: answer });
    await isOpen;
    const sctp = peer.sctpTransport!.sctp as unknown as {
      localTsn: number;
      sendChunk(chunk: object): Promise<void>;
    };
    const send = (...rest: [flags: number, protocol: number, stream: number, payload: Uint8Array]) =>
      sctp.sendChunk({ type: 0, bytes: dataChunk(sctp.localTsn++, ...rest) });
    // The library throws out of a callback of its own when a channel is acknowledged that nobody opened.
    await send(3, Protocol.control, 77, CHANNEL_ACK);
    expect((await offer()).status).toBe(409);
    const piece = new Uint8Array(PIECE_BYTES);
    let sentBytes = 0;
    // While the session lasts its name is taken. None of the pieces is the last of the message.
    let { status } = await offer();
    for (; status === 409 && sentBytes < MOST_BYTES; { status } = await offer())
      for (let count = 0; count < PIECES; count++) {
        await send(sentBytes === 0 ? 2 : 0, Protocol.bytes, 1, piece);
        sentBytes += PIECE_BYTES;
      }
    expect(status).toBe(200);
    expect(sentBytes).toBeGreaterThan(WINDOW_BYTES);
    expect(sentBytes).toBeLessThan(MOST_BYTES);
    console.log(`cut off after ${(sentBytes / 2 ** 20).toFixed(1)} MiB of one message without an end`);
    await peer.close();
  });

  test("whatever an offer says, there is an answer, and the relay goes on", async () => {
    const { RTCPeerConnection } = await import("werift");
    const url = await start();
    const peer = new RTCPeerConnection({ iceServers: [] });
    peer.createDataChannel("udp");
    await peer.setLocalDescription(await peer.createOffer());
    const { sdp } = peer.localDescription!;
    await peer.close();
    const lines = sdp.split("\r\n");
    const line = fc.constantFrom(...lines);
    const part = fc.oneof(
      line,
      fc.string(),
      fc.tuple(line, fc.nat(80), fc.string({ maxLength: 8 })).map(cut),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 2 * lines.length }), async (parts) => {
        const { status } = await post(`${url}/webrtc/offer`, JSON.stringify({ sdp: parts.join("\r\n") }));
        expect([200, 400, 503]).toContain(status);
      }),
      { numRuns: 60 },
    );
    const { status } = await post(`${url}/webrtc/offer`, JSON.stringify({ sdp }));
    expect(status).toBe(200);
  });

  test("by a WebSocket: what is not its turn and what is too much is refused, and `close` ends the session", async () => {
    const { RTCPeerConnection } = await import("werift");
    const jwtSecret = "a secret of site and relay";
    const url = await start({ jwtSecret });
    const iat = Math.floor(Date.now() / 1000);
    const token = await mintRelayToken(jwtSecret, { sid: "one", iat, exp: iat + 300 });
    const open = () => TestSocket.open({ url: new URL(url) }, `/webrtc/signal?token=${token}`);
    const candidate = JSON.stringify({ type: "candidate", candidate: { candidate: "" } });
    const heard = async (socket: TestSocket) =>
      JSON.parse((await socket.next()) as string) as { type: string };
    const early = await open();
    early.send(candidate);
    expect(await heard(early)).toMatchObject({ type: "error", code: "unexpected_message" });
    expect((await early.untilClosed()).code).toBe(1008);
    const peer = new RTCPeerConnection({ iceServers: [] });
    peer.createDataChannel("udp");
    await peer.setLocalDescription(await peer.createOffer());
    const { sdp } = peer.localDescription!;
    const busy = await open();
    // The credential is in the address already, and may be said again.
    busy.send(JSON.stringify({ type: "auth", token }));
    busy.send(JSON.stringify({ type: "offer", sdp: { type: "offer", sdp } }));
    expect(await heard(busy)).toMatchObject({ type: "answer" });
    const authorization = `Bearer ${token}`;
    const offer = () => post(`${url}/webrtc/offer`, JSON.stringify({ sdp }), { authorization });
    expect((await offer()).status).toBe(409);
    busy.send(JSON.stringify({ type: "close" }));
    expect((await busy.untilClosed()).code).toBe(1000);
    await expect.poll(async () => (await offer()).status, { timeout: 20_000 }).toBe(200);
    const flood = await open();
    for (let count = 0; count < 2000; count++) flood.send(JSON.stringify({ type: "auth", token }));
    expect(await heard(flood)).toMatchObject({ code: "rate_limited" });
    expect((await flood.untilClosed()).code).toBe(1008);
    await peer.close();
  });

  test("what is no offer is refused in words", async () => {
    const url = await start({ token: "key" });
    const key = { authorization: "Bearer key" };
    expect((await post(`${url}/webrtc/offer`, "{}")).status).toBe(401);
    for (const body of ["{}", "", "[", '{"sdp":"v=0"}', JSON.stringify({ sdp: "x".repeat(70_000) })])
      expect([body.length, (await post(`${url}/webrtc/offer`, body, key)).status]).toEqual([
        body.length,
        400,
      ]);
    expect((await fetch(`${url}/webrtc/offer`, { headers: key })).status).toBe(405);
    expect(await (await fetch(`${url}/webrtc/ice`)).json()).toEqual({ iceServers: [] });
  });
});

test("a relay that asks for nothing serves no page of another machine's", async () => {
  relay = await startRelay({ port: 0, host: "127.0.0.1", token: "", env });
  const url = relay.url.replace(/^ws/, "http");
  expect((await fetch(url, { headers: { origin: "https://elsewhere.example" } })).status).toBe(403);
  expect((await fetch(url, { headers: { origin: "http://localhost:8787" } })).status).toBe(426);
  expect((await fetch(url)).status).toBe(426);
});
