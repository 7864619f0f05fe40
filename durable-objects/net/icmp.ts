import { addBytes, checksumOf, isIntact } from "./wire/checksum.ts";
import {
  type Packet,
  type Route,
  headerBytesOf,
  payloadSum,
  protocols,
  sealPayload,
  startPacket,
} from "./wire/ip.ts";

/** ICMP (RFC 792) and the part of ICMPv6 (RFC 4443) that is not neighbour discovery: echo and errors. */
const ICMP_BYTES = 8;
/** RFC 1812 §4.3.2.3 and RFC 4443 §2.4: as much of the packet as fits into the smallest link. */
const QUOTE_BYTES = { 4: 548, 6: 1232 } as const;

/** Errors as both families write them: type and code. */
export const icmpErrors = {
  host: { 4: [3, 1], 6: [1, 3] },
  port: { 4: [3, 3], 6: [1, 4] },
  protocol: { 4: [3, 2], 6: [4, 1] },
  prohibited: { 4: [3, 13], 6: [1, 1] },
  tooBig: { 4: [3, 4], 6: [2, 0] },
  expired: { 4: [11, 0], 6: [3, 0] },
} as const;
export type IcmpError = keyof typeof icmpErrors;

const ECHO = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;

export const isIcmpIntact = (packet: Packet): boolean =>
  packet.family === 6
    ? isIntact(payloadSum(packet))
    : isIntact(addBytes(0, packet.view, packet.start, packet.end));

export const isEchoRequest = (packet: Packet): boolean =>
  packet.end - packet.start >= ICMP_BYTES &&
  packet.frame[packet.start] === ECHO[packet.family].request &&
  packet.frame[packet.start + 1] === 0;

function seal(frame: Uint8Array, route: Route): void {
  const start = headerBytesOf(route);
  if (route.to.length === 16) return sealPayload(frame, route, protocols.icmpv6, start + 2);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  view.setUint16(start + 2, checksumOf(addBytes(0, view, start, frame.length)));
}

const protocolOf = (route: Route): number => (route.to.length === 4 ? protocols.icmp : protocols.icmpv6);

/** The reply to an echo request: the same identifier, number and data. */
export function echoReply(packet: Packet, route: Route): Uint8Array<ArrayBuffer> {
  const frame = startPacket(route, protocolOf(route), packet.end - packet.start);
  const start = headerBytesOf(route);
  frame.set(packet.frame.subarray(packet.start, packet.end), start);
  frame[start] = ECHO[packet.family].reply;
  frame[start + 2] = frame[start + 3] = 0;
  seal(frame, route);
  return frame;
}

/** An error about a packet, quoting its beginning. `more`: the second word of the header, the next hop's MTU for `tooBig`. */
export function icmpError(
  error: IcmpError,
  family: 4 | 6,
  quoted: Uint8Array,
  route: Route,
  more = 0,
): Uint8Array<ArrayBuffer> {
  const quote = quoted.subarray(0, QUOTE_BYTES[family]);
  const frame = startPacket(route, protocolOf(route), ICMP_BYTES + quote.length);
  const start = headerBytesOf(route);
  const [type, code] = icmpErrors[error][family];
  frame[start] = type;
  frame[start + 1] = code;
  new DataView(frame.buffer).setUint32(start + 4, more);
  frame.set(quote, start + ICMP_BYTES);
  seal(frame, route);
  return frame;
}

/** RFC 1122 §3.2.2: no error about an error, a fragment that is not the first, or what was sent to a group. */
export function mayBeAnsweredByError(packet: Packet): boolean {
  const { family, frame, start, end, destination, source, fragment } = packet;
  if (fragment && fragment.offset > 0) return false;
  if (source.every((byte) => byte === 0) || isGroup(source) || isGroup(destination)) return false;
  if (packet.protocol !== (family === 4 ? protocols.icmp : protocols.icmpv6)) return true;
  const type = start < end ? frame[start]! : 0;
  return family === 4 ? type === 8 || type === 13 || type === 17 : type >= 128;
}

const isGroup = (address: Uint8Array): boolean =>
  address.length === 4 ? address[0]! >= 224 : address[0] === 0xff;
