import { checksum, sum } from "./wire/checksum.ts";

/**
 * Connections of a guest whose tunnel has forgotten them (its object was evicted). A guest that only receives would wait
 * for ever: nothing makes it send a segment that the new stack could answer with RST. So the client's end of the tunnel
 * looks at what the guest sends, and when a session begins anew it resets every connection that was seen: with the sequence
 * number that the guest expects next, which is the last that it has acknowledged (RFC 5961 §3.2). Connections between machines of one room go on: only what is sent to
 * the gateway counts. IPv4 only; a guest that
 * has more connections than are remembered keeps the oldest until it sends something by itself.
 */
const MAX_CONNECTIONS = 1024;
const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const TCP_BYTES = 20;
const TCP = 6;
const flags = { rst: 4, ack: 16 } as const;

interface Seen {
  /** The Ethernet and IPv4 addresses and the ports of the guest's last segment: both ends. */
  readonly head: Uint8Array;
  readonly ports: number;
  acknowledged: number;
}

export class Orphans {
  /** In the order in which they were seen first. */
  readonly #seen = new Map<string, Seen>();
  readonly #gatewayMac: Uint8Array;

  constructor(gatewayMac: Uint8Array) {
    this.#gatewayMac = gatewayMac;
  }

  get size(): number {
    return this.#seen.size;
  }

  /** A frame that the guest sends. */
  onSent(frame: Uint8Array): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    const isTcp =
      frame.length >= ETHERNET_BYTES + IPV4_BYTES + TCP_BYTES &&
      view.getUint16(12) === 0x0800 &&
      frame[ETHERNET_BYTES]! >> 4 === 4 &&
      frame[23] === TCP &&
      (view.getUint16(20) & 0x1fff) === 0;
    const at = ETHERNET_BYTES + (frame[ETHERNET_BYTES]! & 15) * 4;
    if (
      !isTcp ||
      at + TCP_BYTES > frame.length ||
      !this.#gatewayMac.every((byte, index) => byte === frame[index])
    )
      return;
    const bits = frame[at + 13]!;
    const ports = view.getUint32(at);
    const key = `${view.getUint32(26)} ${view.getUint32(30)} ${ports}`;
    if ((bits & flags.rst) !== 0) this.#seen.delete(key);
    // Without ACK it is the SYN, which the guest sends again.
    else if ((bits & flags.ack) !== 0) this.#note(key, frame, ports, view.getUint32(at + 8));
  }

  #note(key: string, frame: Uint8Array, ports: number, acknowledged: number): void {
    const known = this.#seen.get(key);
    if (known) {
      known.acknowledged = acknowledged;
      return;
    }
    if (this.#seen.size >= MAX_CONNECTIONS) this.#seen.delete(this.#seen.keys().next().value!);
    this.#seen.set(key, { head: frame.slice(0, ETHERNET_BYTES + IPV4_BYTES), ports, acknowledged });
  }

  /** The frames that end them all, for the guest. Connections that had closed by themselves are reset to nobody's harm. */
  reset(): Uint8Array[] {
    const frames = [...this.#seen.values()].map(resetOf);
    this.#seen.clear();
    return frames;
  }
}

function resetOf({ head, ports, acknowledged }: Seen): Uint8Array {
  const frame = new Uint8Array(ETHERNET_BYTES + IPV4_BYTES + TCP_BYTES);
  const view = new DataView(frame.buffer);
  frame.set(head.subarray(6, 12), 0);
  frame.set(head.subarray(0, 6), 6);
  view.setUint16(12, 0x0800);
  const ip = ETHERNET_BYTES;
  view.setUint16(ip, 0x4500);
  view.setUint16(ip + 2, IPV4_BYTES + TCP_BYTES);
  view.setUint16(ip + 8, 0x4000 | TCP);
  frame.set(head.subarray(30, 34), ip + 12);
  frame.set(head.subarray(26, 30), ip + 16);
  view.setUint16(ip + 10, checksum(sum(view, ip, ip + IPV4_BYTES)));
  const tcp = ip + IPV4_BYTES;
  view.setUint32(tcp, ((ports << 16) | (ports >>> 16)) >>> 0);
  view.setUint32(tcp + 4, acknowledged);
  view.setUint16(tcp + 12, 0x5000 | flags.rst);
  const pseudo = sum(view, ip + 12, tcp) + TCP + TCP_BYTES;
  view.setUint16(tcp + 16, checksum(sum(view, tcp, tcp + TCP_BYTES, pseudo)));
  return frame;
}
