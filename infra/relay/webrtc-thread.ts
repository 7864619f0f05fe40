/**
 * The thread in which WebRTC's library runs, with nothing else. What it throws out of its own callbacks, and a stranger's
 * packets can make it throw, would end the relay: here it ends nothing, and a library that has gone wrong for good takes
 * only this thread with it.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type RTCDataChannel, RTCPeerConnection } from "werift";
import { type FromThread, type ThreadStart, type ToThread, UNDER_WAY_BYTES, Way } from "./webrtc-messages.ts";

/** For the browser to connect after the answer. */
const CONNECT_MS = 30_000;
/** A description does not wait for longer until all our addresses are known. */
const GATHER_MS = 2000;
/** Of datagrams that wait for the client to take them; what finds no room is lost. */
const WAITING_BYTES = 256 * 1024;
/** Packets that have come although others before them have not. */
const MAX_GAPS = 4096;
/** So much that was thrown, and the thread begins anew. */
const MAX_THROWN = 1000;

interface Session {
  readonly peer: RTCPeerConnection;
  channel: RTCDataChannel | undefined;
  readonly close: () => void;
}

const { options, underWay } = workerData as ThreadStart;
const port = parentPort!;
const counts = new Int32Array(underWay);
const sessions = new Map<number, Session>();
const tell = (message: FromThread): void => port.postMessage(message);

let thrown = 0;
const onThrown = (): void => {
  if (++thrown > MAX_THROWN) process.exit(1);
};
process.on("unhandledRejection", onThrown);
process.on("uncaughtException", onThrown);

port.on("message", (message: ToThread) => {
  if (message.type === "offer") return void begin(message.session, message.sdp);
  if (message.type === "close") return sessions.get(message.session)?.close();
  const { bytes, session } = message;
  Atomics.sub(counts, Way.toThread, bytes.length);
  const channel = sessions.get(session)?.channel;
  if (channel?.readyState === "open" && channel.bufferedAmount <= WAITING_BYTES)
    channel.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
});

async function begin(id: number, offer: string): Promise<void> {
  const { addresses = [], ports } = options;
  const peer = new RTCPeerConnection({
    iceServers: [],
    iceUseTcp: false,
    iceAdditionalHostAddresses: [...addresses],
    maxMessageSize: 65_536,
    ...(ports && { icePortRange: [...ports] as [number, number] }),
  });
  const close = (): void => {
    if (!sessions.delete(id)) return;
    clearTimeout(timer);
    tell({ type: "closed", session: id });
    peer.close().catch(() => {});
  };
  const timer = setTimeout(close, CONNECT_MS);
  const session: Session = { peer, channel: undefined, close };
  sessions.set(id, session);
  peer.connectionStateChange.subscribe((state) => {
    if (state === "connected") clearTimeout(timer);
    if (state === "failed" || state === "closed" || state === "disconnected") close();
  });
  peer.onDataChannel.subscribe((channel) => onChannel(id, session, channel));
  const sdp = await describe(peer, offer).catch(() => null);
  tell({ type: "answer", session: id, sdp });
  if (sdp === null) close();
}

/** Our side of the session, with the addresses that are known in time. */
async function describe(peer: RTCPeerConnection, offer: string): Promise<string> {
  await peer.setRemoteDescription({ type: "offer", sdp: withoutAddresses(offer) });
  const answered = peer.createAnswer().then((answer) => peer.setLocalDescription(answer));
  await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, GATHER_MS))]);
  const sdp = peer.localDescription?.sdp;
  if (sdp === undefined || !/^m=application /m.test(sdp)) throw new Error("The offer has no channel.");
  return sdp;
}

/** RFC 8839 §5.1: who has no candidates is known by the first check that it sends (RFC 8445 §7.3.1.3). */
const withoutAddresses = (sdp: string): string =>
  sdp
    .split(/\r?\n/)
    .filter((line) => !/^a=(candidate:|end-of-candidates)/.test(line))
    .join("\r\n");

/** One channel, of the one name that there is. How reliable it is, is the client's to say: what waits is bounded. */
function onChannel(id: number, session: Session, channel: RTCDataChannel): void {
  if (channel.label !== "udp" || session.channel) return channel.close();
  session.channel = channel;
  guardWindow(session);
  tell({ type: "open", session: id });
  channel.onMessage.subscribe((message) => {
    if (typeof message === "string" || Atomics.load(counts, Way.fromThread) > UNDER_WAY_BYTES) return;
    const bytes = new Uint8Array(message);
    Atomics.add(counts, Way.fromThread, bytes.length);
    tell({ type: "datagram", session: id, bytes });
  });
  channel.stateChanged.subscribe((state) => {
    if (state === "closed") session.close();
  });
  return undefined;
}

/**
 * The library says how much room it has left for messages that are not whole (RFC 9260 §3.3.4, a_rwnd) and takes more all the
 * same. A peer that goes beyond it, or leaves too many gaps, is cut off before its next packet is read.
 */
function guardWindow({ peer, close }: Session): void {
  const transport = peer.sctpTransport;
  if (!transport) return close();
  const { sctp, dtlsTransport } = transport;
  // The two are private to the library's types; its version is pinned, and without them nobody is served.
  const held = sctp as unknown as { advertisedRwnd?: number; sackMisOrdered?: { size: number } };
  const receive = dtlsTransport.dataReceiver;
  dtlsTransport.dataReceiver = (packet) => {
    const isKept = (held.advertisedRwnd ?? 0) > 0 && (held.sackMisOrdered?.size ?? Infinity) <= MAX_GAPS;
    if (isKept) receive(packet);
    else close();
  };
  return undefined;
}
