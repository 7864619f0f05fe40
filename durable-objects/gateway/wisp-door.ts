import {
  type WispPacket,
  decodeWisp,
  encodeWisp,
  type wispCloseReasons,
  wispExtensions,
  wispLimits,
} from "#protocol/wisp.ts";
import type { Outlet } from "./carrier.ts";
import { type Door, STREAM_IDLE_MS, SWEEP_MS } from "./door.ts";
import { Unanswered } from "./unanswered.ts";
import type { DatagramEgress, Egress, FlowSink, OpenDatagrams, Outflow, Refused } from "./flow.ts";

/** Credit of a stream in packets, and when it is renewed. */
const BUFFER_PACKETS = 64;
const RENEW_PACKETS = BUFFER_PACKETS / 2;
/** Packets have no bound of their own worth the name, so bytes have: of one stream, and of all together. */
const STREAM_BYTES = 4 * 2 ** 20;
const SESSION_BYTES = 16 * 2 ** 20;
const WINDOW_BYTES = 256 * 1024;

type Reason = keyof typeof wispCloseReasons;
interface TcpStream {
  readonly transport: "tcp";
  readonly out: Outflow;
  /** Sizes of the packets that the world has not taken, oldest first. */
  readonly packets: number[];
  unwritten: number;
  takenSinceRenewal: number;
  /** What the world may send once there is room for it: a window at first, then what was sent to the client. */
  owed: number;
  activeMs: number;
}
interface UdpStream {
  readonly transport: "udp";
  readonly host: string;
  readonly port: number;
  readonly datagrams: DatagramEgress;
  activeMs: number;
}
export interface WispParts {
  readonly outlet: Outlet;
  readonly egress: Egress;
  readonly openDatagrams: OpenDatagrams;
  /** Whether datagrams to anything but DNS have a way; offered as an extension. */
  readonly hasUdp: boolean;
  readonly now: () => number;
  /** The client offered a subprotocol, so it speaks version 2. */
  readonly isVersion2: boolean;
  readonly maxStreams: number;
  /** Absent: no bound on what a client that does not read is sent. */
  readonly unanswered?: Unanswered;
  /** The object has slept, and the client has been greeted before. */
  readonly isGreeted: boolean;
  /** The last stream has ended by itself, so that the host may rest. */
  readonly onIdle?: () => void;
}

/** Wisp versions 1 and 2, the server's end. */
export class WispDoor implements Door {
  readonly #parts: WispParts;
  readonly #unanswered: Unanswered;
  readonly #streams = new Map<number, TcpStream | UdpStream>();
  #unwritten = 0;
  #phase: "greeting" | "open" | "closed";
  #udp: boolean;
  #confirms = false;
  #sweepAt: number;

  constructor(parts: WispParts) {
    this.#parts = parts;
    this.#unanswered = parts.unanswered ?? new Unanswered(0);
    this.#udp = parts.hasUdp;
    this.#sweepAt = parts.now() + SWEEP_MS;
    this.#phase = parts.isVersion2 && !parts.isGreeted ? "greeting" : "open";
    if (parts.isGreeted) return;
    if (parts.isVersion2) this.#inform();
    else this.#greet();
  }

  #inform(): void {
    const { hasUdp, outlet } = this.#parts;
    const offered = [...(hasUdp ? [wispExtensions.udp] : []), wispExtensions.confirm];
    outlet.send(encodeWisp.info(offered.map((id) => ({ id, payload: new Uint8Array(0) }))));
  }

  get streamCount(): number {
    return this.#streams.size;
  }
  get isQuiet(): boolean {
    return this.streamCount === 0;
  }
  get #outlet(): Outlet {
    return this.#parts.outlet;
  }

  #greet(): void {
    this.#outlet.send(encodeWisp.continue(0, BUFFER_PACKETS));
  }

  onMessage(message: Uint8Array | string): void {
    if (this.#phase === "closed" || typeof message === "string") return;
    if (message.length > wispLimits.messageBytes) return this.#end(1009, "message too big");
    const packet = decodeWisp(message);
    if (!packet.ok) return this.#end(1002, "not a Wisp packet");
    if (this.#phase === "greeting") return this.#onGreeting(packet.value);
    this.#onPacket(packet.value);
  }

  #onGreeting(packet: WispPacket): void {
    if (packet.type !== "info") {
      this.#outlet.send(encodeWisp.close(0, "invalidInfo"));
      return this.#end(1002, "INFO was expected");
    }
    const has = (id: number): boolean => packet.extensions.some((extension) => extension.id === id);
    this.#udp &&= has(wispExtensions.udp);
    this.#confirms = has(wispExtensions.confirm);
    this.#phase = "open";
    this.#greet();
  }

  #onPacket(packet: WispPacket): void {
    if (packet.type === "connect") return this.#connect(packet);
    const stream = this.#streams.get(packet.stream);
    if (!stream) return;
    stream.activeMs = this.#parts.now();
    if (packet.type === "data") this.#onData(packet.stream, stream, packet.bytes);
    if (packet.type === "close") this.#drop(packet.stream, stream);
  }

  #connect(packet: Extract<WispPacket, { type: "connect" }>): void {
    const { stream: id, transport, host, port } = packet;
    if (this.#streams.has(id)) return this.#refuse(id, "clientError");
    if (this.#streams.size >= this.#parts.maxStreams) return this.#refuse(id, "throttled");
    const activeMs = this.#parts.now();
    if (transport === "tcp") {
      const out = this.#parts.egress.dial({ host, port }, this.#sink(id));
      const packets: number[] = [];
      this.#streams.set(id, {
        transport,
        out,
        packets,
        unwritten: 0,
        takenSinceRenewal: 0,
        owed: 0,
        activeMs,
      });
      return;
    }
    if (!this.#udp) return this.#refuse(id, "blocked");
    const datagrams = this.#parts.openDatagrams({
      onReply: (_from, _to, payload) => this.#outlet.send(encodeWisp.data(id, payload)),
      onEvent: ({ kind }) => {
        const now = this.#streams.get(id);
        if (kind === "refused" && now === stream) this.#fail(id, stream, "blocked");
      },
    });
    const stream: UdpStream = { transport, host, port, datagrams, activeMs };
    this.#streams.set(id, stream);
    if (this.#confirms) this.#outlet.send(encodeWisp.continue(id, BUFFER_PACKETS));
  }

  #refuse(id: number, reason: Reason): void {
    this.#outlet.send(encodeWisp.close(id, reason));
  }

  #onData(id: number, stream: TcpStream | UdpStream, bytes: Uint8Array): void {
    if (stream.transport === "udp") {
      const to = { address: stream.host, port: stream.port };
      const refused = stream.datagrams.send({ address: "0.0.0.0", port: id & 0xffff }, to, bytes);
      if (refused) this.#fail(id, stream, "blocked");
      return;
    }
    const isTooMuch =
      stream.packets.length >= BUFFER_PACKETS * 2 ||
      stream.unwritten + bytes.length > STREAM_BYTES ||
      this.#unwritten + bytes.length > SESSION_BYTES;
    if (isTooMuch) return this.#fail(id, stream, "throttled");
    // A packet without bytes costs a credit all the same.
    if (bytes.length === 0) return this.#onTaken(id, stream, 1);
    stream.packets.push(bytes.length);
    stream.unwritten += bytes.length;
    this.#unwritten += bytes.length;
    stream.out.write(bytes);
  }

  #fail(id: number, stream: TcpStream | UdpStream, reason: Reason): void {
    this.#refuse(id, reason);
    this.#drop(id, stream);
  }

  #drop(id: number, stream: TcpStream | UdpStream): void {
    this.#streams.delete(id);
    if (stream.transport === "udp") return stream.datagrams.close();
    this.#unwritten -= stream.unwritten;
    stream.unwritten = 0;
    stream.out.abort();
  }

  #sink(id: number): FlowSink {
    const turn = (action: (stream: TcpStream) => void): void => {
      const stream = this.#streams.get(id);
      if (stream?.transport !== "tcp") return;
      stream.activeMs = this.#parts.now();
      action(stream);
      if (this.#streams.size === 0) this.#parts.onIdle?.();
    };
    return {
      onOpen: () =>
        turn((stream) => {
          stream.owed = WINDOW_BYTES;
          this.#repay(stream);
          if (this.#confirms) this.#outlet.send(encodeWisp.continue(id, BUFFER_PACKETS));
        }),
      onRefused: (why) => turn((stream) => this.#fail(id, stream, wispReason(why))),
      onBytes: (bytes) =>
        turn((stream) => {
          this.#outlet.send(encodeWisp.data(id, bytes));
          stream.owed += bytes.length;
          this.#repay(stream);
        }),
      onEnd: () => turn((stream) => this.#fail(id, stream, "voluntary")),
      onBroken: () => turn((stream) => this.#fail(id, stream, "networkError")),
      onWritten: (count) => turn((stream) => this.#onWritten(id, stream, count)),
    };
  }

  #onWritten(id: number, stream: TcpStream, count: number): void {
    stream.unwritten -= count;
    this.#unwritten -= count;
    let left = count;
    let packets = 0;
    while (left > 0 && stream.packets.length > 0) {
      const taken = Math.min(left, stream.packets[0]!);
      left -= taken;
      if (taken < stream.packets[0]!) stream.packets[0]! -= taken;
      else {
        stream.packets.shift();
        packets++;
      }
    }
    this.#onTaken(id, stream, packets);
  }

  #onTaken(id: number, stream: TcpStream, packets: number): void {
    stream.takenSinceRenewal += packets;
    if (stream.takenSinceRenewal < RENEW_PACKETS) return;
    stream.takenSinceRenewal = 0;
    this.#outlet.send(encodeWisp.continue(id, BUFFER_PACKETS - stream.packets.length));
  }

  #end(code: number, reason: string): void {
    if (this.#phase === "closed") return;
    this.onClosed();
    this.#outlet.close(code, reason);
  }

  onClosed(): void {
    this.#phase = "closed";
    for (const [id, stream] of this.#streams) this.#drop(id, stream);
  }

  #repay(stream: TcpStream): void {
    const { owed } = stream;
    if (owed === 0 || !this.#unanswered.take(owed, this.#parts.now())) return;
    stream.owed = 0;
    stream.out.grant(owed);
  }

  /** The least that any stream is owed; 0: nothing. */
  get #leastOwed(): number {
    let least = Infinity;
    for (const stream of this.#streams.values())
      if (stream.transport === "tcp" && stream.owed > 0) least = Math.min(least, stream.owed);
    return Number.isFinite(least) ? least : 0;
  }

  onTime(): void {
    const now = this.#parts.now();
    for (const stream of this.#streams.values()) if (stream.transport === "tcp") this.#repay(stream);
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_MS;
    for (const [id, stream] of this.#streams)
      if (now - stream.activeMs >= STREAM_IDLE_MS) this.#fail(id, stream, "idle");
  }

  pollAt(): number | undefined {
    if (this.#streams.size === 0) return undefined;
    const owed = this.#leastOwed;
    return owed === 0
      ? this.#sweepAt
      : Math.min(this.#sweepAt, this.#unanswered.roomAt(owed, this.#parts.now()));
  }
}

function wispReason({ code, refusal }: Refused): Reason {
  if (code === "name-not-found" || refusal === "unreachable") return "unreachable";
  if (code === "timeout") return "timeout";
  if (code === "too-many-connections" || code === "too-many-flows") return "throttled";
  if (code === "refused") return "refused";
  return code === "failed" ? "networkError" : "blocked";
}
