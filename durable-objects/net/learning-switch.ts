/**
 * A learning Ethernet switch (IEEE 802.1D §7.8: filtering database, ageing), without spanning tree: its ports are
 * machines, a tunnel and at most one link to each other page, so there is no loop to break. Pure: a frame and a time go in,
 * the ports it leaves by come out. Bounded: a port that invents addresses only pushes out its own.
 */

/** IEEE 802.1D table 7-5 recommends 300 s. */
const AGEING_MS = 300_000;
const ADDRESSES_PER_PORT = 64;
/** Destination, source and type: nothing shorter is an Ethernet frame. */
export const MIN_FRAME = 14;
/** As `virga-l2-v1` carries them. */
export const MAX_FRAME = 16_380;

interface Station<Port> {
  readonly port: Port;
  seenMs: number;
}

/** Six bytes as one number: exact in a double. */
const macAt = (frame: Uint8Array, at: number): number => {
  let value = 0;
  for (let index = at; index < at + 6; index++) value = value * 256 + frame[index]!;
  return value;
};

const isGroup = (firstByte: number): boolean => (firstByte & 1) === 1;

export class LearningSwitch<Port> {
  readonly #stations = new Map<number, Station<Port>>();
  readonly #ports = new Set<Port>();

  attach(port: Port): void {
    this.#ports.add(port);
  }

  detach(port: Port): void {
    this.#ports.delete(port);
    for (const [mac, station] of this.#stations) if (station.port === port) this.#stations.delete(mac);
  }

  ports(): ReadonlySet<Port> {
    return this.#ports;
  }

  /** How many addresses it knows, all ports together. */
  get size(): number {
    return this.#stations.size;
  }

  /** Learns the sender, and says which ports a frame that came in by `from` leaves by: one, all others, or none. */
  forward(from: Port, frame: Uint8Array, nowMs: number): readonly Port[] {
    if (!this.#ports.has(from) || frame.length < MIN_FRAME || frame.length > MAX_FRAME) return [];
    // A group address is never a sender (IEEE 802.3 §3.2.3).
    if (isGroup(frame[6]!)) return [];
    this.#learn(from, macAt(frame, 6), nowMs);
    if (!isGroup(frame[0]!)) {
      const known = this.#stations.get(macAt(frame, 0));
      if (known && nowMs - known.seenMs <= AGEING_MS) return known.port === from ? [] : [known.port];
    }
    return [...this.#ports].filter((port) => port !== from);
  }

  #learn(port: Port, mac: number, nowMs: number): void {
    const known = this.#stations.get(mac);
    if (known?.port === port) {
      known.seenMs = nowMs;
      return;
    }
    this.#stations.delete(mac);
    this.#makeRoom(port);
    this.#stations.set(mac, { port, seenMs: nowMs });
  }

  /** Of one port's addresses the one learnt first goes. */
  #makeRoom(port: Port): void {
    let count = 0;
    let first: number | undefined;
    for (const [mac, station] of this.#stations) {
      if (station.port !== port) continue;
      first ??= mac;
      count++;
    }
    if (count >= ADDRESSES_PER_PORT && first !== undefined) this.#stations.delete(first);
  }
}
