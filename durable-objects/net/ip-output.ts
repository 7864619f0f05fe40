import { FrameSlab } from "./frame-slab.ts";
import type { Neighbours } from "./neighbours.ts";
import { type Ip, isMulticast } from "./wire/address.ts";
import type { StackConfig } from "./world.ts";
import { BROADCAST_MAC, ETHERNET_BYTES, type Mac, etherTypes, writeEthernet } from "./wire/ethernet.ts";
import { IPV4_BYTES, protocols, writeIpv4 } from "./wire/ipv4.ts";
import { FRAGMENT_BYTES, IPV6_BYTES, writeIpv6 } from "./wire/ipv6.ts";

const TTL = 64;
/** RFC 4861 §7.1: what comes from a neighbour has not been forwarded. */
export const NEIGHBOUR_TTL = 255;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;

/**
 * Datagrams on their way to the guest. `open` makes a frame with its Ethernet and IP headers in `slab` and says where the
 * payload goes; the caller writes it there, and `close` sends it. Nothing is copied and no closure is made for a segment.
 */
export class IpOutput {
  readonly slab = new FrameSlab();
  readonly mtu: number;
  /** The longest packet with a TCP segment. */
  readonly segmentBytes: number;
  readonly #mac: Mac;
  readonly #neighbours: Neighbours;
  readonly #transmit: (frame: Uint8Array) => void;
  #nowMs = 0;
  #identification = 0;
  #frame = 0;
  #bytes = 0;
  #waitsFor: Ip | undefined;

  constructor(
    mac: Mac,
    link: Pick<StackConfig, "mtu" | "segmentBytes">,
    neighbours: Neighbours,
    transmit: (frame: Uint8Array) => void,
  ) {
    this.#mac = mac;
    this.mtu = link.mtu;
    this.segmentBytes = link.segmentBytes;
    this.#neighbours = neighbours;
    this.#transmit = transmit;
  }

  at(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /** The payload's offset in `slab`. The payload fits into the MTU, or is one TCP segment; `mac` overrides what the neighbours say. */
  open(from: Ip, to: Ip, protocol: number, payloadBytes: number, ttl = TTL, mac?: Mac): number {
    const headerBytes = to.version === 4 ? IPV4_BYTES : IPV6_BYTES;
    const payload = this.#begin(from, to, headerBytes + payloadBytes, mac) + headerBytes;
    if (to.version === 4) {
      const identification = this.#identification++ & 0xffff;
      const length = headerBytes + payloadBytes;
      // RFC 6864 §4.1: the identification of an atomic datagram may be anything.
      const fields = { from, to, protocol, ttl, length, identification, fragment: DONT_FRAGMENT };
      writeIpv4(this.slab.view, payload - headerBytes, fields);
    } else
      writeIpv6(this.slab.view, payload - headerBytes, { from, to, protocol, ttl, length: payloadBytes });
    return payload;
  }

  /** The Ethernet header and room for `bytes` behind it; where they begin. */
  #begin(from: Ip, to: Ip, bytes: number, mac?: Mac): number {
    const known = mac ?? (isMulticast(to) ? groupMac(to) : this.#neighbours.macOf(to));
    this.#waitsFor = known === undefined ? to : undefined;
    this.#bytes = ETHERNET_BYTES + bytes;
    this.#frame = this.slab.take(this.#bytes);
    const type = from.version === 4 ? etherTypes.ipv4 : etherTypes.ipv6;
    writeEthernet(this.slab.view, this.#frame, known ?? 0, this.#mac, type);
    return this.#frame + ETHERNET_BYTES;
  }

  close(): void {
    const frame = this.slab.cut(this.#frame, this.#bytes);
    if (this.#waitsFor) this.#neighbours.hold(this.#waitsFor, frame, this.#nowMs);
    else this.#transmit(frame);
  }

  /** A finished payload, checksum and all, in as many fragments as the MTU needs (RFC 791 §3.2, RFC 8200 §4.5). */
  send(from: Ip, to: Ip, protocol: number, payload: Uint8Array, mac?: Mac): void {
    const headerBytes = to.version === 4 ? IPV4_BYTES : IPV6_BYTES;
    if (headerBytes + payload.length <= this.mtu) {
      const at = this.open(from, to, protocol, payload.length, TTL, mac);
      this.slab.bytes.set(payload, at);
      return this.close();
    }
    const identification = this.#identification++ & 0xffff;
    const extra = to.version === 4 ? headerBytes : headerBytes + FRAGMENT_BYTES;
    const step = (this.mtu - extra) & ~7;
    for (let offset = 0; offset < payload.length; offset += step) {
      const piece = payload.subarray(offset, offset + step);
      const isLast = offset + step >= payload.length;
      const at = this.#begin(from, to, extra + piece.length, mac);
      if (to.version === 4) {
        const fragment = (isLast ? 0 : MORE_FRAGMENTS) | (offset >> 3);
        const length = extra + piece.length;
        writeIpv4(this.slab.view, at, { from, to, protocol, ttl: TTL, length, identification, fragment });
      } else {
        const fields = {
          from,
          to,
          protocol: protocols.fragment,
          ttl: TTL,
          length: FRAGMENT_BYTES + piece.length,
        };
        writeIpv6(this.slab.view, at, fields);
        this.slab.view.setUint8(at + IPV6_BYTES, protocol);
        this.slab.view.setUint16(at + IPV6_BYTES + 2, offset | (isLast ? 0 : 1));
        this.slab.view.setUint32(at + IPV6_BYTES + 4, identification);
      }
      this.slab.bytes.set(piece, at + extra);
      this.close();
    }
    return undefined;
  }
}

/** RFC 1112 §6.4 and RFC 2464 §7; 255.255.255.255 is everyone. */
function groupMac(ip: Ip): Mac {
  if (ip.version === 6) return 0x3333_0000_0000 + (ip.d >>> 0);
  return ip.d === -1 ? BROADCAST_MAC : 0x0100_5e00_0000 + (ip.d & 0x7f_ffff);
}
