import { type Packet, type Route, headerBytesOf, protocols, sealPayload, startPacket } from "./wire/ip.ts";

/**
 * IPv6 neighbour discovery (RFC 4861) of a router with one prefix: answers to solicitations, and advertisements with
 * prefix, MTU and DNS server (RFC 8106). Addresses are the guests' own affair (RFC 4862); duplicates are found by asking.
 */
export const ndTypes = {
  routerSolicit: 133,
  routerAdvertise: 134,
  neighbourSolicit: 135,
  neighbourAdvertise: 136,
} as const;
export const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
/** RFC 4861 §6.2.1: how long we count as a router, and (RFC 4862) how long addresses of the prefix are good. */
const ROUTER_SECONDS = 9000;
const VALID_SECONDS = 86_400;
const PREFERRED_SECONDS = 14_400;

/** The hardware address of an IPv6 group (RFC 2464 §7). */
export const groupMac = (address: Uint8Array): Uint8Array =>
  Uint8Array.of(0x33, 0x33, ...address.subarray(12, 16));

/** fe80:: with the interface identifier of a MAC address (RFC 4291 appendix A). */
export function linkLocal(mac: Uint8Array): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80]);
  address.set([mac[0]! ^ 2, mac[1]!, mac[2]!, 0xff, 0xfe, mac[3]!, mac[4]!, mac[5]!], 8);
  return address;
}

/** Messages of neighbour discovery come from this link and nowhere else (RFC 4861 §6.1, §7.1). */
export const isFromThisLink = (packet: Packet): boolean =>
  packet.hopLimit === 255 && packet.frame[packet.start + 1] === 0;

/** Who a solicitation asks for; null: malformed. */
export const solicitedTarget = (packet: Packet): Uint8Array | null =>
  packet.end - packet.start >= 24 ? packet.frame.subarray(packet.start + 8, packet.start + 24) : null;

export function neighbourAdvertisement(
  route: Route,
  target: Uint8Array,
  isAnswer: boolean,
): Uint8Array<ArrayBuffer> {
  const frame = startPacket(route, protocols.icmpv6, 32);
  const at = headerBytesOf(route);
  frame[at] = ndTypes.neighbourAdvertise;
  // Router, solicited when the asker has an address, override.
  frame[at + 4] = 0x80 | (isAnswer ? 0x40 : 0) | 0x20;
  frame.set(target, at + 8);
  frame.set([2, 1], at + 24);
  frame.set(route.fromMac, at + 26);
  sealPayload(frame, route, protocols.icmpv6, at + 2);
  return frame;
}

export interface Advertised {
  /** 16 bytes, of which the first eight count. */
  readonly prefix: Uint8Array;
  readonly dns: Uint8Array;
  readonly mtu: number;
}

export function routerAdvertisement(route: Route, { prefix, dns, mtu }: Advertised): Uint8Array<ArrayBuffer> {
  const frame = startPacket(route, protocols.icmpv6, 16 + 8 + 8 + 32 + 24);
  const at = headerBytesOf(route);
  const view = new DataView(frame.buffer);
  frame[at] = ndTypes.routerAdvertise;
  frame[at + 4] = 64;
  view.setUint16(at + 6, ROUTER_SECONDS);
  let option = at + 16;
  frame.set([1, 1], option);
  frame.set(route.fromMac, option + 2);
  option += 8;
  frame.set([5, 1], option);
  view.setUint32(option + 4, mtu);
  option += 8;
  // On-link, and good for autonomous addresses.
  frame.set([3, 4, 64, 0xc0], option);
  view.setUint32(option + 4, VALID_SECONDS);
  view.setUint32(option + 8, PREFERRED_SECONDS);
  frame.set(prefix.subarray(0, 8), option + 16);
  option += 32;
  frame.set([25, 3], option);
  view.setUint32(option + 4, ROUTER_SECONDS);
  frame.set(dns, option + 8);
  sealPayload(frame, route, protocols.icmpv6, at + 2);
  return frame;
}
