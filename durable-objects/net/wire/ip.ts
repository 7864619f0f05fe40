import { addBytes, addWord, checksumOf, isIntact } from "./checksum.ts";
import { ETHERNET_BYTES, etherTypes, writeEthernet } from "./ethernet.ts";

/** IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as far as a LAN's gateway needs them. */
export const protocols = { icmp: 1, tcp: 6, udp: 17, fragment: 44, icmpv6: 58 } as const;
export const IPV4_BYTES = 20;
export const IPV6_BYTES = 40;
const HOP_LIMIT = 64;
/** Extension headers that may stand before the payload (RFC 8200 §4.1), and how many of them are walked. */
const skippable = new Set([0, 43, 60]);
const MAX_EXTENSIONS = 4;

/** One IP packet inside its frame. The arrays are views; offsets count from the start of the frame. */
export interface Packet {
  readonly family: 4 | 6;
  readonly frame: Uint8Array;
  readonly view: DataView;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  /** Where the IP header begins, where the payload does, and where the packet ends. */
  readonly header: number;
  readonly start: number;
  readonly end: number;
  readonly hopLimit: number;
  readonly fragment: Fragment | null;
}
export interface Fragment {
  readonly id: number;
  /** Bytes before this piece in the whole payload. */
  readonly offset: number;
  readonly isLast: boolean;
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Null: not a whole and undamaged IPv4 packet. */
export function parseIpv4(
  frame: Uint8Array,
  view: DataView = viewOf(frame),
  at = ETHERNET_BYTES,
): Packet | null {
  if (frame.length < at + IPV4_BYTES) return null;
  const headerBytes = (frame[at]! & 15) * 4;
  const totalBytes = view.getUint16(at + 2);
  if (frame[at]! >> 4 !== 4 || headerBytes < IPV4_BYTES || totalBytes < headerBytes) return null;
  if (at + totalBytes > frame.length || !isIntact(addBytes(0, view, at, at + headerBytes))) return null;
  const place = view.getUint16(at + 6);
  const isFragment = (place & 0x3fff) !== 0;
  return {
    family: 4,
    frame,
    view,
    source: frame.subarray(at + 12, at + 16),
    destination: frame.subarray(at + 16, at + 20),
    protocol: frame[at + 9]!,
    header: at,
    start: at + headerBytes,
    end: at + totalBytes,
    hopLimit: frame[at + 8]!,
    fragment: isFragment
      ? { id: view.getUint16(at + 4), offset: (place & 0x1fff) * 8, isLast: (place & 0x2000) === 0 }
      : null,
  };
}

/** Null: not a whole IPv6 packet, or one with headers that a gateway does not walk. */
export function parseIpv6(
  frame: Uint8Array,
  view: DataView = viewOf(frame),
  at = ETHERNET_BYTES,
): Packet | null {
  if (frame.length < at + IPV6_BYTES || frame[at]! >> 4 !== 6) return null;
  const end = at + IPV6_BYTES + view.getUint16(at + 4);
  if (end > frame.length) return null;
  let protocol = frame[at + 6]!;
  let start = at + IPV6_BYTES;
  let fragment: Fragment | null = null;
  for (let walked = 0; skippable.has(protocol) || protocol === protocols.fragment; walked++) {
    if (walked === MAX_EXTENSIONS || start + 8 > end) return null;
    const isPiece = protocol === protocols.fragment;
    protocol = frame[start]!;
    if (isPiece) {
      const place = view.getUint16(start + 2);
      fragment = { id: view.getUint32(start + 4), offset: place & 0xfff8, isLast: (place & 1) === 0 };
      start += 8;
      break;
    }
    start += 8 + 8 * frame[start + 1]!;
    if (start > end) return null;
  }
  return {
    family: 6,
    frame,
    view,
    source: frame.subarray(at + 8, at + 24),
    destination: frame.subarray(at + 24, at + 40),
    protocol,
    header: at,
    start,
    end,
    hopLimit: frame[at + 7]!,
    // An atomic fragment (RFC 6946) is a whole packet.
    fragment: fragment && fragment.offset === 0 && fragment.isLast ? null : fragment,
  };
}

/** The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1): both addresses, the protocol and the length. */
export function pseudoHeader(
  view: DataView,
  addressesAt: number,
  addressBytes: number,
  protocol: number,
  length: number,
): number {
  const sum = addBytes(0, view, addressesAt, addressesAt + 2 * addressBytes);
  return addWord(addWord(sum, protocol), length);
}

/** The sum over a packet's payload with its pseudo-header: `isIntact` says whether it arrived undamaged. */
export function payloadSum(packet: Packet): number {
  const { view, header, family, protocol, start, end } = packet;
  const at = family === 4 ? header + 12 : header + 8;
  return addBytes(pseudoHeader(view, at, family === 4 ? 4 : 16, protocol, end - start), view, start, end);
}

/** Who a packet goes to and from: hardware and IP addresses of one family. */
export interface Route {
  readonly toMac: Uint8Array;
  readonly fromMac: Uint8Array;
  readonly to: Uint8Array;
  readonly from: Uint8Array;
}
export const headerBytesOf = (route: Route): number =>
  ETHERNET_BYTES + (route.to.length === 4 ? IPV4_BYTES : IPV6_BYTES);

/** A frame with its Ethernet and IP headers written and room for `payloadBytes`. Not to be fragmented on its way (DF). */
export function startPacket(
  route: Route,
  protocol: number,
  payloadBytes: number,
  id = 0,
  place = 0x4000,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(headerBytesOf(route) + payloadBytes);
  const at = ETHERNET_BYTES;
  if (route.to.length === 4) {
    writeEthernet(frame, route.toMac, route.fromMac, etherTypes.ipv4);
    const length = IPV4_BYTES + payloadBytes;
    frame[at] = 0x45;
    frame[at + 2] = length >>> 8;
    frame[at + 3] = length & 255;
    frame[at + 4] = id >>> 8;
    frame[at + 5] = id & 255;
    frame[at + 6] = place >>> 8;
    frame[at + 7] = place & 255;
    frame[at + 8] = HOP_LIMIT;
    frame[at + 9] = protocol;
    frame.set(route.from, at + 12);
    frame.set(route.to, at + 16);
    let sum = 0;
    for (let word = at; word < at + IPV4_BYTES; word += 2) sum += frame[word]! | (frame[word + 1]! << 8);
    const checksum = checksumOf(sum);
    frame[at + 10] = checksum >>> 8;
    frame[at + 11] = checksum & 255;
    return frame;
  }
  writeEthernet(frame, route.toMac, route.fromMac, etherTypes.ipv6);
  frame[at] = 0x60;
  frame[at + 4] = payloadBytes >>> 8;
  frame[at + 5] = payloadBytes & 255;
  frame[at + 6] = protocol;
  // Neighbour discovery must not have crossed a router (RFC 4861 §7.1).
  frame[at + 7] = protocol === protocols.icmpv6 ? 255 : HOP_LIMIT;
  frame.set(route.from, at + 8);
  frame.set(route.to, at + 24);
  return frame;
}

/** Computes the checksum of a frame's payload with its pseudo-header and writes it at `fieldAt`, which must be zero before. */
export function sealPayload(frame: Uint8Array, route: Route, protocol: number, fieldAt: number): void {
  const view = viewOf(frame);
  const start = headerBytesOf(route);
  const bytes = route.to.length;
  const addressesAt = bytes === 4 ? ETHERNET_BYTES + 12 : ETHERNET_BYTES + 8;
  const sum = addBytes(
    pseudoHeader(view, addressesAt, bytes, protocol, frame.length - start),
    view,
    start,
    frame.length,
  );
  const checksum = checksumOf(sum);
  // A UDP checksum of zero means none (RFC 768).
  view.setUint16(fieldAt, checksum === 0 && protocol === protocols.udp ? 0xffff : checksum);
}
