import { isIntact } from "./wire/checksum.ts";
import { ETHERNET_BYTES, etherTypes, writeEthernet } from "./wire/ethernet.ts";
import {
  IPV6_BYTES,
  type Packet,
  type Route,
  headerBytesOf,
  payloadSum,
  protocols,
  sealPayload,
  startPacket,
} from "./wire/ip.ts";

/** UDP (RFC 768). */
export const UDP_BYTES = 8;

export interface Datagram {
  readonly fromPort: number;
  readonly toPort: number;
  /** A view. */
  readonly payload: Uint8Array;
}

/** Null: damaged or malformed. IPv4 may leave the checksum out, IPv6 may not (RFC 8200 §8.1). */
export function parseUdp(packet: Packet): Datagram | null {
  const { view, frame, start, end, family } = packet;
  if (end - start < UDP_BYTES) return null;
  const length = view.getUint16(start + 4);
  if (length < UDP_BYTES || start + length > end) return null;
  const isUnchecked = view.getUint16(start + 6) === 0;
  if (isUnchecked ? family === 6 : !isIntact(payloadSum(packet))) return null;
  return {
    fromPort: view.getUint16(start),
    toPort: view.getUint16(start + 2),
    payload: frame.subarray(start + UDP_BYTES, start + length),
  };
}

/** The frames of a datagram: one, or fragments where the MTU is smaller (RFC 791 §3.2, RFC 8200 §4.5). */
export function writeUdp(
  route: Route,
  fromPort: number,
  toPort: number,
  payload: Uint8Array,
  mtu: number,
  id: number,
): Uint8Array<ArrayBuffer>[] {
  const whole = startPacket(route, protocols.udp, UDP_BYTES + payload.length, id);
  const start = headerBytesOf(route);
  const view = new DataView(whole.buffer);
  view.setUint16(start, fromPort);
  view.setUint16(start + 2, toPort);
  view.setUint16(start + 4, UDP_BYTES + payload.length);
  whole.set(payload, start + UDP_BYTES);
  sealPayload(whole, route, protocols.udp, start + 6);
  if (whole.length - ETHERNET_BYTES <= mtu) return [whole];
  return route.to.length === 4
    ? cutIpv4(route, whole, start, mtu, id)
    : cutIpv6(route, whole, start, mtu, id);
}

function cutIpv4(
  route: Route,
  whole: Uint8Array,
  start: number,
  mtu: number,
  id: number,
): Uint8Array<ArrayBuffer>[] {
  const frames: Uint8Array<ArrayBuffer>[] = [];
  const most = (mtu - (start - ETHERNET_BYTES)) & ~7;
  for (let at = start; at < whole.length; at += most) {
    const piece = whole.subarray(at, at + most);
    const isLast = at + most >= whole.length;
    const place = ((at - start) / 8) | (isLast ? 0 : 0x2000);
    const frame = startPacket(route, protocols.udp, piece.length, id, place);
    frame.set(piece, start);
    frames.push(frame);
  }
  return frames;
}

function cutIpv6(
  route: Route,
  whole: Uint8Array,
  start: number,
  mtu: number,
  id: number,
): Uint8Array<ArrayBuffer>[] {
  const frames: Uint8Array<ArrayBuffer>[] = [];
  const most = (mtu - IPV6_BYTES - 8) & ~7;
  for (let at = start; at < whole.length; at += most) {
    const piece = whole.subarray(at, at + most);
    const frame = startPacket(route, protocols.fragment, 8 + piece.length);
    const view = new DataView(frame.buffer);
    frame[start] = protocols.udp;
    view.setUint16(start + 2, (at - start) | (at + most < whole.length ? 1 : 0));
    view.setUint32(start + 4, id);
    frame.set(piece, start + 8);
    frames.push(frame);
  }
  return frames;
}

/**
 * A packet whose payload was put together from fragments, as one frame: only its addresses and payload are true. Its length
 * field cannot say more than 65,535 bytes, so neither can it.
 */
export function joinedPacket(packet: Packet, payload: Uint8Array): Packet {
  const { family, header, frame: first } = packet;
  const ipBytes = family === 4 ? 20 : 40;
  const frame = new Uint8Array(ETHERNET_BYTES + ipBytes + payload.length);
  writeEthernet(
    frame,
    first.subarray(0, 6),
    first.subarray(6, 12),
    family === 4 ? etherTypes.ipv4 : etherTypes.ipv6,
  );
  frame.set(first.subarray(header, header + ipBytes), ETHERNET_BYTES);
  frame.set(payload, ETHERNET_BYTES + ipBytes);
  const addresses = ETHERNET_BYTES + (family === 4 ? 12 : 8);
  const each = family === 4 ? 4 : 16;
  return {
    ...packet,
    frame,
    view: new DataView(frame.buffer),
    source: frame.subarray(addresses, addresses + each),
    destination: frame.subarray(addresses + each, addresses + 2 * each),
    header: ETHERNET_BYTES,
    start: ETHERNET_BYTES + ipBytes,
    end: frame.length,
    fragment: null,
  };
}
