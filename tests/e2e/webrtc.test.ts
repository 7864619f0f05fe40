import { existsSync } from "node:fs";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeRelayDatagram, encodeRelayDatagram } from "#protocol/udp-relay.ts";
import { type Relay, startRelay } from "../../infra/relay/relay.ts";
import { mintRelayToken } from "../../worker/relay-token.ts";
import { makeProfile } from "../support/browser.ts";
import { udpEcho } from "../support/guest-datagrams.ts";

/** Datagrams by WebRTC between Chromium and the relay. What a datagram does not answer is sent again, as its nature is. */
const JWT_SECRET = "a secret of site and relay";
const env = { VIRGA_EGRESS: "open-loopback", VIRGA_AUDIT: "off" };
const isThere = existsSync("node_modules/werift");
const reason = isThere ? "" : " (skipped: werift is not installed)";
const profile = makeProfile();
let context: BrowserContext;
let page: Page;
let relay: Relay;
let echo: Awaited<ReturnType<typeof udpEcho>>;
beforeAll(async () => {
  if (!isThere) return;
  echo = await udpEcho();
  const webRtc = { addresses: ["127.0.0.1"] };
  relay = await startRelay({ port: 0, host: "127.0.0.1", token: "key", jwtSecret: JWT_SECRET, webRtc, env });
  context = await profile.open();
  page = await context.newPage();
}, 120_000);
afterAll(async () => {
  await context?.close();
  await relay?.close();
  echo?.close();
  profile.remove();
});

const iat = Math.floor(Date.now() / 1000);
const tokenOf = (sid: string): Promise<string> => mintRelayToken(JWT_SECRET, { sid, iat, exp: iat + 300 });
const http = (path: string): string => relay.url.replace(/^ws/, "http") + path;

interface Ask {
  readonly url: string;
  readonly token: string;
  readonly by: "http" | "socket";
  readonly label: string;
  /** Base64; null: none is sent. */
  readonly datagram: string | null;
}

/** In the page: connects, sends until there is an answer, and tells it in base64, or how the channel ended. */
async function exchange(ask: Ask): Promise<string> {
  const { url, token, by, label, datagram } = ask;
  const peer = new RTCPeerConnection();
  const channel = peer.createDataChannel(label, { ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  await peer.setLocalDescription(await peer.createOffer());
  while (peer.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 20));
  const offer = { type: "offer", sdp: peer.localDescription!.sdp };
  let answer: RTCSessionDescriptionInit;
  if (by === "http") {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const response = await fetch(`${url}/webrtc/offer`, {
      method: "POST",
      headers,
      body: JSON.stringify({ sdp: offer }),
    });
    if (!response.ok) return `${response.status}`;
    answer = ((await response.json()) as { sdp: RTCSessionDescriptionInit }).sdp;
  } else {
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/webrtc/signal`);
    await new Promise((resolve) => (socket.onopen = resolve));
    socket.send(JSON.stringify({ type: "auth", token }));
    socket.send(JSON.stringify({ type: "offer", sdp: offer }));
    const told = await new Promise<string>((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
    const said = JSON.parse(told) as { type: string; code?: string; sdp: RTCSessionDescriptionInit };
    if (said.type !== "answer") return said.code ?? "";
    answer = said.sdp;
  }
  const over = new Promise<string>((resolve) => {
    channel.onclose = () => resolve("closed");
    channel.onmessage = ({ data }) => resolve(btoa(String.fromCharCode(...new Uint8Array(data))));
  });
  await peer.setRemoteDescription(answer);
  const bytes = datagram === null ? null : Uint8Array.from(atob(datagram), (letter) => letter.charCodeAt(0));
  const timer = setInterval(() => {
    if (bytes && channel.readyState === "open") channel.send(bytes);
  }, 100);
  const heard = await over;
  clearInterval(timer);
  (globalThis as unknown as { peers: RTCPeerConnection[] }).peers ??= [];
  (globalThis as unknown as { peers: RTCPeerConnection[] }).peers.push(peer);
  return heard;
}

const datagramTo = (port: number, payload: Buffer): string => {
  const ends = {
    version: 2,
    guestPort: 4000,
    remoteIp: Uint8Array.of(127, 0, 0, 1),
    remotePort: port,
  } as const;
  return Buffer.from(encodeRelayDatagram({ ...ends, payload })!).toString("base64");
};
const ask = async (over: Partial<Ask> & { readonly token: string }): Promise<string> =>
  page.evaluate(exchange, {
    url: http(""),
    by: "http",
    label: "udp",
    datagram: datagramTo(echo.port, Buffer.from("abc")),
    ...over,
  } satisfies Ask);

describe.skipIf(!isThere)(`WebRTC${reason}`, () => {
  test.each(["http", "socket"] as const)(
    "a browser's datagrams go through the relay and back: signalled by %s, whole and in pieces",
    { timeout: 120_000 },
    async (by) => {
      const payload = Buffer.alloc(1200, "0123456789abcdef-");
      const heard = await ask({
        by,
        token: await tokenOf(`by ${by}`),
        datagram: datagramTo(echo.port, payload),
      });
      const answer = decodeRelayDatagram(new Uint8Array(Buffer.from(heard, "base64")));
      expect([answer?.version, answer?.guestPort, answer?.remotePort]).toEqual([2, 4000, echo.port]);
      expect(Buffer.from(answer!.payload)).toEqual(Buffer.from(payload).reverse());
      // The peer is still there: its name is taken.
      expect(await ask({ by, token: await tokenOf(`by ${by}`) })).toBe(
        by === "http" ? "409" : "session_already_active",
      );
    },
  );

  test(
    "a channel of another name is closed, and nobody comes in without a credential",
    { timeout: 120_000 },
    async () => {
      expect(await ask({ token: await tokenOf("other"), label: "tcp", datagram: null })).toBe("closed");
      expect(await ask({ token: "x" })).toBe("401");
      expect(await ask({ token: "x", by: "socket" })).toBe("unauthorized");
    },
  );
});
