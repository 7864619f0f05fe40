import { checksum, sum } from "./wire/checksum.ts";

/**
 * Connections of a guest whose tunnel has forgotten them (its object was evicted). A guest that only receives would wait
 * for ever: nothing makes it send a segment that the new stack could answer with RST. So the client's end of the tunnel
 * looks at what the guest sends, and when a session begins anew it resets every connection that was seen: with the sequence
 * number that the guest expects next, which is the last that it has acknowledged (RFC 5961 §3.2). Connections between machines of one room go on: only what is sent to
 * the gateway counts. Headers between IPv6 and TCP are not looked behind. A guest that has more connections than are
 * remembered keeps the oldest until it sends something by itself.
 */
const MAX_CONNECTIONS = 1024;
const ETHERNET_BYTES = 14;
const TCP_BYTES = 20;
const TCP = 6;
/** Where each version has what, from the beginning of its header. */
const layouts = {
  4: { etherType: 0x0800, headerBytes: 20, protocol: 9, addresses: 12, addressBytes: 4 },
  6: { etherType: 0x86dd, headerBytes: 40, protocol: 6, addresses: 8, addressBytes: 16 },
} as const;
type Version = keyof typeof layouts;
const flags = { rst: 4, ack: 16 } as const;

interface Seen {
  readonly version: Version;
  /** The Ethernet addresses of the guest's last segment, then its IP addresses: both ends. */
  readonly macs: Uint8Array;
  readonly addresses: Uint8Array;
  readonly ports: number;
  acknowledged: number;
}

/** Where TCP begins in a frame; null: it is no segment. */
function findTcp(
  frame: Uint8Array,
  view: DataView,
): { readonly version: Version; readonly at: number } | null {
  if (frame.length < ETHERNET_BYTES + 40) return null;
  const version = frame[ETHERNET_BYTES]! >> 4;
  if (version !== 4 && version !== 6) return null;
  const { etherType, headerBytes, protocol } = layouts[version];
  const at = ETHERNET_BYTES + (version === 4 ? (frame[ETHERNET_BYTES]! & 15) * 4 : headerBytes);
  const isFragment = version === 4 && (view.getUint16(20) & 0x1fff) !== 0;
  const isTcp = view.getUint16(12) === etherType && frame[ETHERNET_BYTES + protocol] === TCP && !isFragment;
  return isTcp && at + TCP_BYTES <= frame.length ? { version, at } : null;
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
    const found = findTcp(frame, view);
    if (!found || !this.#gatewayMac.every((byte, index) => byte === frame[index])) return;
    const { version, at } = found;
    const bits = frame[at + 13]!;
    const ports = view.getUint32(at);
    const { addresses, addressBytes } = layouts[version];
    let key = `${ports}`;
    for (let word = 0; word < 2 * addressBytes; word += 4)
      key += ` ${view.getUint32(ETHERNET_BYTES + addresses + word)}`;
    if ((bits & flags.rst) !== 0) this.#seen.delete(key);
    // Without ACK it is the SYN, which the guest sends again.
    else if ((bits & flags.ack) !== 0) this.#note(key, frame, version, ports, view.getUint32(at + 8));
  }

  #note(key: string, frame: Uint8Array, version: Version, ports: number, acknowledged: number): void {
    const known = this.#seen.get(key);
    if (known) {
      known.acknowledged = acknowledged;
      return;
    }
    if (this.#seen.size >= MAX_CONNECTIONS) this.#seen.delete(this.#seen.keys().next().value!);
    const { addresses, addressBytes } = layouts[version];
    const at = ETHERNET_BYTES + addresses;
    const ends = frame.slice(at, at + 2 * addressBytes);
    this.#seen.set(key, { version, macs: frame.slice(0, 12), addresses: ends, ports, acknowledged });
  }

  /** The frames that end them all, for the guest. Connections that had closed by themselves are reset to nobody's harm. */
  reset(): Uint8Array[] {
    const frames = [...this.#seen.values()].map(resetOf);
    this.#seen.clear();
    return frames;
  }
}

function resetOf({ version, macs, addresses, ports, acknowledged }: Seen): Uint8Array {
  const { etherType, headerBytes, addresses: offset, addressBytes } = layouts[version];
  const frame = new Uint8Array(ETHERNET_BYTES + headerBytes + TCP_BYTES);
  const view = new DataView(frame.buffer);
  frame.set(macs.subarray(6), 0);
  frame.set(macs.subarray(0, 6), 6);
  view.setUint16(12, etherType);
  const ip = ETHERNET_BYTES;
  frame.set(addresses.subarray(addressBytes), ip + offset);
  frame.set(addresses.subarray(0, addressBytes), ip + offset + addressBytes);
  if (version === 4) {
    view.setUint16(ip, 0x4500);
    view.setUint16(ip + 2, headerBytes + TCP_BYTES);
    view.setUint16(ip + 8, 0x4000 | TCP);
    view.setUint16(ip + 10, checksum(sum(view, ip, ip + headerBytes)));
  } else {
    view.setUint32(ip, 0x6000_0000);
    view.setUint16(ip + 4, TCP_BYTES);
    view.setUint16(ip + 6, (TCP << 8) | 64);
  }
  const tcp = ip + headerBytes;
  view.setUint32(tcp, ((ports << 16) | (ports >>> 16)) >>> 0);
  view.setUint32(tcp + 4, acknowledged);
  view.setUint16(tcp + 12, 0x5000 | flags.rst);
  const pseudo = sum(view, ip + offset, ip + offset + 2 * addressBytes) + TCP + TCP_BYTES;
  view.setUint16(tcp + 16, checksum(sum(view, tcp, tcp + TCP_BYTES, pseudo)));
  return frame;
}
