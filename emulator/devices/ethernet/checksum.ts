/** The Internet checksum (RFC 1071) in frames, for cards that make and verify it in the driver's place. */

const ETHER_BYTES = 14;
const EtherType = { ipv4: 0x0800, ipv6: 0x86dd } as const;
const Protocol = { tcp: 6, udp: 17 } as const;

export const u16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
export const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) * 0x1_0000 + u16(bytes, at + 2);

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, value >>> 16);
  putU16(bytes, at + 2, value);
}

/** Ones' complement sum of bytes `start` to `end` as big-endian words, added to `sum`; folded to 16 bits. */
export function ones(bytes: Uint8Array, start: number, end: number, sum = 0): number {
  let at = start;
  const pairs = end - ((end - start) & 1);
  let total = sum;
  for (; at < pairs; at += 2) total += (bytes[at]! << 8) | bytes[at + 1]!;
  if (at < end) total += bytes[at]! << 8;
  while (total > 0xffff) total = (total % 0x1_0000) + Math.floor(total / 0x1_0000);
  return total;
}

/** What a TCP or UDP segment's checksum covers, found in a frame. Offsets in bytes of the frame. */
export interface Segment {
  readonly version: 4 | 6;
  readonly protocol: number;
  readonly transport: number;
  /** Where the IP packet ends; padding may follow. */
  readonly end: number;
}

/** Null: no whole TCP or UDP segment over IPv4, or IPv6 without extension headers. Every length is inside the frame. */
export function findSegment(frame: Uint8Array): Segment | null {
  if (frame.length < ETHER_BYTES + 20) return null;
  const type = u16(frame, 12);
  if (type === EtherType.ipv4) {
    const transport = ETHER_BYTES + 4 * (frame[14]! & 15);
    const end = ETHER_BYTES + u16(frame, 16);
    const fragment = u16(frame, 20) & 0x3fff;
    const known = frame[14]! >>> 4 === 4 && transport >= ETHER_BYTES + 20 && fragment === 0;
    return known ? segment(frame, { version: 4, protocol: frame[23]!, transport, end }) : null;
  }
  if (type !== EtherType.ipv6 || frame.length < ETHER_BYTES + 40 || frame[14]! >>> 4 !== 6) return null;
  const transport = ETHER_BYTES + 40;
  return segment(frame, { version: 6, protocol: frame[20]!, transport, end: transport + u16(frame, 18) });
}

function segment(frame: Uint8Array, found: Segment): Segment | null {
  const header = found.protocol === Protocol.tcp ? 20 : found.protocol === Protocol.udp ? 8 : Infinity;
  return found.transport + header <= found.end && found.end <= frame.length ? found : null;
}

/** Sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1) of a packet whose transport part has `length` bytes. */
export function pseudoSum(frame: Uint8Array, { version, protocol }: Segment, length: number): number {
  const [start, end] = version === 4 ? [26, 34] : [22, 54];
  return ones(frame, start, end, protocol + (length & 0xffff) + (length >>> 16));
}

/** True when the segment's checksum is right; a UDP datagram over IPv4 may have none. */
export function isIntact(frame: Uint8Array, found: Segment): boolean {
  const { transport, end, protocol, version } = found;
  if (protocol === Protocol.udp && version === 4 && u16(frame, transport + 6) === 0) return true;
  return ones(frame, transport, end, pseudoSum(frame, found, end - transport)) === 0xffff;
}

/**
 * Finishes a checksum that the driver has begun: the sum of everything from `start` on, the pseudo-header's sum being in the
 * field already, goes to `start + offset`. What points outside the frame is left alone.
 */
export function finishChecksum(frame: Uint8Array, start: number, offset: number, end = frame.length): void {
  const at = start + offset;
  if (at + 2 > end || start >= end || end > frame.length) return;
  const sum = 0xffff - ones(frame, start, end);
  // A checksum of zero would say that a UDP datagram has none (RFC 768).
  putU16(frame, at, sum === 0 ? 0xffff : sum);
}

/** Writes the header checksum of the IPv4 packet in a frame. */
export function finishIpv4(frame: Uint8Array): void {
  putU16(frame, 24, 0);
  putU16(frame, 24, 0xffff - ones(frame, ETHER_BYTES, ETHER_BYTES + 4 * (frame[14]! & 15)));
}
