import {
  LARGEST_DATAGRAM_BYTES,
  MAX_RELAY_PAYLOAD_BYTES,
  type RelayControl,
  decodeRelayDatagram,
  encodeRelayDatagram,
  readRelayText,
} from "#protocol/udp-relay.ts";
import { formatIp, parseIp } from "../net/ip-text.ts";
import type { Endpoint } from "../net/world.ts";
import type { Outlet } from "./carrier.ts";
import type { DatagramSink, NamedEndpoint, OpenDatagrams, Refused } from "./flow.ts";
import { Pacer } from "./pacer.ts";
import { noRelay } from "./relay-stream.ts";

/** A port without traffic for so long is free again: as long as the relay keeps its own. */
const IDLE_MS = 60_000;
/** Ports that guests have at the relay at a time. */
const MAX_BINDINGS = 1024;
/** What waits for the relay's socket to be there. */
const MAX_EARLY_MESSAGES = 64;
const MAX_EARLY_BYTES = 128 * 1024;
/** For the relay to say that it is ready. */
const READY_MS = 10_000;
/** After a failure nothing is tried for so long. */
const RETRY_MS = 5000;
/** To relays that answer no pings, so much a second, and as much at once: what they have not read is not known. */
const BLIND_BYTES_PER_SECOND = 256 * 1024;
/** Where guests' own ports are taken (RFC 6335 §6: dynamic ports). */
const FIRST_DYNAMIC_PORT = 49_152;

interface Binding {
  readonly key: string;
  readonly guest: Endpoint;
  readonly sink: DatagramSink;
  /** The guest's, as the relay knows it. */
  readonly port: number;
  activeMs: number;
}
interface Early {
  readonly message: Uint8Array;
  readonly binding: Binding;
  readonly to: NamedEndpoint;
}

/** Where the relay of these connections (`…/tcp-mux`, `…/wisp/`) takes datagrams: `/udp` in the same place. */
export const udpBeside = (url: string): string => url.replace(/\/[^/?]*\/?(\?.*)?$/, "/udp$1");

export interface UdpRelayParts {
  readonly now: () => number;
  /** Opens the relay's socket: ends in `onOpen` or `onClosed`, never inside the call. */
  readonly connect: () => void;
}

/**
 * The client's end of a relay's `/udp`: datagrams of all guests of one object over one socket. A guest's port is translated
 * where another guest has the same one, as in RFC 4787 (REQ-1: one port per guest port, whatever it speaks with).
 * Datagrams are dropped, never kept, when the relay does not keep up.
 */
export class UdpRelayClient {
  readonly #parts: UdpRelayParts;
  /** By door and guest's end; the longest silent first. */
  readonly #bindings = new Map<string, Binding>();
  readonly #byPort = new Map<number, Binding>();
  #doors = 0;
  #nextPort = FIRST_DYNAMIC_PORT;
  #outlet: Outlet | undefined;
  /** Since when a socket is wanted; undefined: none is. */
  #askedAtMs: number | undefined;
  #isReady = false;
  #maxPayloadBytes = MAX_RELAY_PAYLOAD_BYTES;
  /** Undefined: the relay answers no pings. */
  #pacer: Pacer | undefined;
  #blindBytes = BLIND_BYTES_PER_SECOND;
  #blindAtMs = 0;
  #early: Early[] = [];
  #earlyBytes = 0;
  #failure: { readonly why: Refused; readonly untilMs: number } | undefined;
  readonly counts = { sent: 0, received: 0, dropped: 0 };

  constructor(parts: UdpRelayParts) {
    this.#parts = parts;
  }

  /** No guest has a port: the socket may go. */
  get isIdle(): boolean {
    return this.#bindings.size === 0 && this.#early.length === 0;
  }

  readonly open: OpenDatagrams = (sink) => {
    const id = ++this.#doors;
    return {
      send: (from, to, payload) => this.#send(`${id} ${from.address} ${from.port}`, sink, from, to, payload),
      close: () => {
        for (const binding of this.#bindings.values()) if (binding.sink === sink) this.#forget(binding);
      },
    };
  };

  #send(
    key: string,
    sink: DatagramSink,
    from: Endpoint,
    to: NamedEndpoint,
    payload: Uint8Array,
  ): Refused | null {
    const now = this.#parts.now();
    if (this.#failure && now < this.#failure.untilMs) return this.#failure.why;
    const binding = this.#bindingOf(key, sink, from, now);
    if (!binding) return full;
    const remoteIp = parseIp(to.address);
    if (!remoteIp) return null;
    const { port: guestPort } = binding;
    const message = encodeRelayDatagram({ version: 2, guestPort, remoteIp, remotePort: to.port, payload });
    if (!message) return null;
    if (this.#isReady) this.#pass(message, payload.length);
    else this.#keep({ message, binding, to: { ...to } });
    return null;
  }

  #bindingOf(key: string, sink: DatagramSink, from: Endpoint, now: number): Binding | null {
    const known = this.#bindings.get(key);
    if (known) this.#forget(known);
    else this.onTime();
    const port = known?.port ?? this.#freePort(from.port);
    if (port === null) return null;
    const binding = known ?? { key, guest: { ...from }, sink, port, activeMs: now };
    binding.activeMs = now;
    this.#bindings.set(key, binding);
    this.#byPort.set(port, binding);
    return binding;
  }

  #freePort(wanted: number): number | null {
    if (this.#bindings.size >= MAX_BINDINGS) return null;
    if (wanted !== 0 && !this.#byPort.has(wanted)) return wanted;
    while (this.#byPort.has(this.#nextPort)) this.#advance();
    const port = this.#nextPort;
    this.#advance();
    return port;
  }

  #advance(): void {
    this.#nextPort = this.#nextPort === 65_535 ? FIRST_DYNAMIC_PORT : this.#nextPort + 1;
  }

  #forget(binding: Binding): void {
    this.#bindings.delete(binding.key);
    this.#byPort.delete(binding.port);
  }

  #keep(early: Early): void {
    const isFull =
      this.#early.length >= MAX_EARLY_MESSAGES || this.#earlyBytes + early.message.length > MAX_EARLY_BYTES;
    if (isFull) {
      this.counts.dropped++;
      return;
    }
    this.#early.push(early);
    this.#earlyBytes += early.message.length;
    if (this.#askedAtMs !== undefined) return;
    this.#askedAtMs = this.#parts.now();
    this.#parts.connect();
  }

  #pass(message: Uint8Array, payloadBytes: number): void {
    const now = this.#parts.now();
    if (payloadBytes > this.#maxPayloadBytes || !this.#hasRoom(message.length, now)) {
      this.counts.dropped++;
      return;
    }
    this.counts.sent++;
    this.#outlet?.send(message);
    this.#pacer?.sent(message.length);
    if (this.#pacer?.ask(now)) this.#say({ type: "ping" });
  }

  #hasRoom(bytes: number, now: number): boolean {
    if (this.#pacer) return this.#pacer.isRoomy;
    const earned = ((now - this.#blindAtMs) * BLIND_BYTES_PER_SECOND) / 1000;
    this.#blindBytes = Math.min(BLIND_BYTES_PER_SECOND, this.#blindBytes + earned);
    this.#blindAtMs = now;
    if (this.#blindBytes < bytes) return false;
    this.#blindBytes -= bytes;
    return true;
  }

  #say(control: RelayControl): void {
    this.#outlet?.send(JSON.stringify(control));
  }

  /** Forgets what has been silent for too long. Wanted now and then while not idle. */
  onTime(): void {
    const now = this.#parts.now();
    if (this.#outlet && !this.#isReady && now - (this.#askedAtMs ?? now) >= READY_MS) {
      this.#outlet.close(1000, "not ready");
      this.onClosed();
    }
    for (const binding of this.#bindings.values()) {
      if (now - binding.activeMs < IDLE_MS) return;
      this.#forget(binding);
    }
  }

  // The socket's side.

  /** The socket is there; datagrams go when the relay says that it is ready. */
  onOpen(outlet: Outlet): void {
    this.#outlet = outlet;
    this.#blindBytes = BLIND_BYTES_PER_SECOND;
    this.#blindAtMs = this.#parts.now();
  }

  onMessage(message: Uint8Array | string): void {
    if (typeof message === "string") return this.#onText(message);
    const datagram = decodeRelayDatagram(message, LARGEST_DATAGRAM_BYTES);
    const binding = datagram && this.#byPort.get(datagram.guestPort);
    if (!binding) return;
    this.counts.received++;
    binding.activeMs = this.#parts.now();
    const from = { address: formatIp(datagram.remoteIp), port: datagram.remotePort };
    binding.sink.onReply(from, binding.guest, datagram.payload);
  }

  #onText(text: string): void {
    const said = readRelayText(text);
    switch (said?.type) {
      case "ready":
        this.#maxPayloadBytes = said.maxPayloadBytes ?? MAX_RELAY_PAYLOAD_BYTES;
        this.#pacer = said.pings ? new Pacer() : undefined;
        return this.#begin();
      case "error":
        return this.#onError(said);
      case "pong":
        this.#pacer?.answered(this.#parts.now());
        return;
      case "ping":
      case "auth":
      case undefined:
        return;
      default:
        said satisfies never;
    }
  }

  #begin(): void {
    this.#isReady = true;
    this.#failure = undefined;
    const early = this.#takeEarly();
    for (const { message } of early) this.#pass(message, message.length);
  }

  #takeEarly(): Early[] {
    const early = this.#early;
    this.#early = [];
    this.#earlyBytes = 0;
    return early;
  }

  /** About one conversation where it says so, else about the socket. */
  #onError({ message, guestPort, address, port }: Extract<RelayControl, { type: "error" }>): void {
    const sentence = `The relay says: ${message}`.slice(0, 256);
    const binding = guestPort === undefined ? undefined : this.#byPort.get(guestPort);
    if (guestPort === undefined || address === undefined || port === undefined) {
      if (!this.#isReady) this.#fail({ refusal: "prohibited", code: "failed", sentence });
    } else if (binding) {
      const why: Refused = { refusal: "prohibited", code: "denied-address", sentence };
      binding.sink.onEvent({ kind: "refused", from: binding.guest, to: { address, port }, why });
    }
  }

  /** Who waits for the socket is told, and for a while everybody who asks. */
  #fail(why: Refused): void {
    this.#failure = { why, untilMs: this.#parts.now() + RETRY_MS };
    for (const { binding, to } of this.#takeEarly())
      binding.sink.onEvent({ kind: "refused", from: binding.guest, to, why });
  }

  /** The socket is gone, or did not come to be. The next datagram asks for another one. */
  onClosed(): void {
    this.#outlet = undefined;
    this.#askedAtMs = undefined;
    this.#isReady = false;
    this.#pacer = undefined;
    if (this.#early.length > 0) this.#fail(noRelay);
  }
}

const full: Refused = {
  refusal: "prohibited",
  code: "too-many-flows",
  sentence: "Too many UDP conversations are open.",
};
