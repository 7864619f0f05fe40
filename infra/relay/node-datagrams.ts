import { type Socket, createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { DatagramSink, OpenDatagrams, Refused } from "../../durable-objects/gateway/flow.ts";
import type { Endpoint } from "../../durable-objects/net/world.ts";
import { TokenBucket } from "../../durable-objects/policy/quota.ts";

const IDLE_MS = 60_000;
const MAX_REMOTES = 1024;
const SWEEP_MS = 15_000;

/** What one client may do (§7.4 of the relay's protocol). Datagrams and bytes in each direction. */
export interface DatagramLimits {
  readonly bindings: number;
  readonly datagramsPerSecond: number;
  readonly bytesPerSecond: number;
  /** So many datagrams beyond these within a minute, and the client is cut off. */
  readonly violations: number;
  /** Whose datagrams reach a port of the guest: of whom it has written to (address and port), or anybody's. */
  readonly inbound: "address_and_port" | "any";
}
export const datagramLimits: DatagramLimits = {
  bindings: 256,
  datagramsPerSecond: 20_000,
  bytesPerSecond: 32 * 2 ** 20,
  violations: 100_000,
  inbound: "address_and_port",
};

interface Binding {
  readonly socket: Socket;
  readonly remotes: Set<string>;
  activeMs: number;
}

const full: Refused = {
  refusal: "prohibited",
  code: "too-many-flows",
  sentence: "Too many UDP conversations are open.",
};

/**
 * Datagrams by sockets of this machine: one per port of the guest, which goes after a minute without traffic. `onAbuse`: the
 * client does not keep to its limits and is to be cut off.
 */
export function nodeDatagrams(limits: DatagramLimits = datagramLimits, onAbuse = () => {}): OpenDatagrams {
  return (sink) => {
    const sockets = new GuestSockets(sink, limits, onAbuse);
    return {
      send: (from, to, payload) => sockets.send(from, to, payload),
      close: () => sockets.close(),
    };
  };
}

class GuestSockets {
  readonly #sink: DatagramSink;
  readonly #limits: DatagramLimits;
  readonly #onAbuse: () => void;
  readonly #bindings = new Map<string, Binding>();
  readonly #datagrams: TokenBucket;
  readonly #bytes: TokenBucket;
  readonly #violations: TokenBucket;
  readonly #sweep = setInterval(() => this.#forgetIdle(), SWEEP_MS).unref();
  #isClosed = false;

  constructor(sink: DatagramSink, limits: DatagramLimits, onAbuse: () => void) {
    this.#sink = sink;
    this.#limits = limits;
    this.#onAbuse = onAbuse;
    this.#datagrams = new TokenBucket(limits.datagramsPerSecond, limits.datagramsPerSecond);
    this.#bytes = new TokenBucket(limits.bytesPerSecond, limits.bytesPerSecond);
    this.#violations = new TokenBucket(limits.violations / 60, limits.violations);
  }

  send(from: Endpoint, to: Endpoint, payload: Uint8Array): Refused | null {
    if (this.#isClosed || !this.#allows(payload.length)) return null;
    const family = isIPv6(to.address) ? "udp6" : "udp4";
    const key = `${family} ${from.address} ${from.port}`;
    if (!this.#bindings.has(key) && this.#bindings.size >= this.#limits.bindings) return full;
    const binding = this.#bindings.get(key) ?? this.#bind(key, { ...from }, family);
    binding.activeMs = Date.now();
    if (binding.remotes.size >= MAX_REMOTES) binding.remotes.clear();
    binding.remotes.add(`${to.address} ${to.port}`);
    // The socket keeps what it is given until it is sent; a payload that is too long is its to refuse.
    binding.socket.send(payload.slice(), to.port, to.address, () => {});
    return null;
  }

  #allows(bytes: number): boolean {
    const now = Date.now();
    if (this.#datagrams.take(1, now) && this.#bytes.take(bytes, now)) return true;
    if (!this.#violations.take(1, now)) this.#onAbuse();
    return false;
  }

  #bind(key: string, guest: Endpoint, family: "udp4" | "udp6"): Binding {
    const socket = createSocket(family);
    const binding: Binding = { socket, remotes: new Set(), activeMs: Date.now() };
    // ICMP errors arrive here on some systems; a socket that broke is made anew for the next datagram.
    socket.on("error", () => this.#forget(key, binding));
    socket.on("message", (payload, from) => {
      const isKnown = this.#limits.inbound === "any" || binding.remotes.has(`${from.address} ${from.port}`);
      if (!isKnown || !this.#allowsAnswer(payload.length)) return;
      binding.activeMs = Date.now();
      this.#sink.onReply({ address: from.address, port: from.port }, guest, new Uint8Array(payload));
    });
    this.#bindings.set(key, binding);
    return binding;
  }

  /** What strangers send is nobody's violation. */
  #allowsAnswer(bytes: number): boolean {
    const now = Date.now();
    return !this.#isClosed && this.#datagrams.take(1, now) && this.#bytes.take(bytes, now);
  }

  #forget(key: string, binding: Binding): void {
    if (this.#bindings.get(key) !== binding) return;
    this.#bindings.delete(key);
    binding.socket.close();
  }

  #forgetIdle(): void {
    for (const [key, binding] of this.#bindings)
      if (Date.now() - binding.activeMs > IDLE_MS) this.#forget(key, binding);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweep);
    for (const [key, binding] of this.#bindings) this.#forget(key, binding);
  }
}
