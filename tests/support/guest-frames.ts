import { lanDefaults } from "../../durable-objects/net/lan.ts";
import { type Ip, ipOf as parsed, pseudoSum, readIp } from "../../durable-objects/net/wire/address.ts";
import { checksum, isIntact, sum } from "../../durable-objects/net/wire/checksum.ts";
import {
  ETHERNET_BYTES,
  etherTypes,
  readMac,
  writeEthernet,
} from "../../durable-objects/net/wire/ethernet.ts";
import {
  type IpHeader,
  emptyIpHeader,
  protocols,
  readIpv4,
  writeIpv4,
} from "../../durable-objects/net/wire/ipv4.ts";
import { readIpv6, writeIpv6 } from "../../durable-objects/net/wire/ipv6.ts";
import { type Segment, emptySegment, readTcp, writeTcp } from "../../durable-objects/net/wire/tcp.ts";
import { readUdp, writeUdp } from "../../durable-objects/net/wire/udp.ts";

const known = new Map<string, Ip>();
/** Addresses of scripts are few and are parsed once. */
function ipOf(text: string): Ip | null {
  const found = known.get(text) ?? parsed(text);
  if (found && known.size < 256) known.set(text, found);
  return found;
}

/** Frames of a scripted guest, and the stack's frames read back with every checksum verified. */
export const MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x10);
export const GUEST = "10.0.2.15";
export const PEER = "192.0.2.7";
export const GATEWAY = "10.0.2.2";
export const GUEST6 = "fd00:7669:7267:0:200:ff:fe00:10";
export const GATEWAY6 = "fd00:7669:7267::1";
export const PEER6 = "2001:db8::7";

const macNumber = (mac: Uint8Array): number => readMac(new DataView(mac.buffer, mac.byteOffset), 0);

export interface IpOptions {
  readonly ttl?: number;
  readonly fragment?: number;
  readonly identification?: number;
  readonly toMac?: Uint8Array;
  readonly mac?: Uint8Array;
}

/** An IP packet of the guest with this payload, in its frame. */
export function ipFrame(
  from: string,
  to: string,
  protocol: number,
  payload: Uint8Array,
  options: IpOptions = {},
): Uint8Array {
  const source = ipOf(from)!;
  const target = ipOf(to)!;
  const headerBytes = source.version === 4 ? 20 : 40;
  const frame = new Uint8Array(ETHERNET_BYTES + headerBytes + payload.length);
  const view = new DataView(frame.buffer);
  const type = source.version === 4 ? etherTypes.ipv4 : etherTypes.ipv6;
  const toMac = options.toMac ?? lanDefaults.gatewayMac;
  writeEthernet(view, 0, macNumber(toMac), macNumber(options.mac ?? MAC), type);
  const fields = { from: source, to: target, protocol, ttl: options.ttl ?? 64 };
  const { fragment = 0x4000, identification = 1 } = options;
  if (source.version === 4)
    writeIpv4(view, ETHERNET_BYTES, {
      ...fields,
      length: headerBytes + payload.length,
      identification,
      fragment,
    });
  else writeIpv6(view, ETHERNET_BYTES, { ...fields, length: payload.length });
  frame.set(payload, ETHERNET_BYTES + headerBytes);
  return frame;
}

export interface SegmentFields {
  readonly from?: string;
  readonly to?: string;
  readonly guestPort: number;
  readonly peerPort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly payload?: Uint8Array;
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array;
}

export function tcpFrame(fields: SegmentFields, ip: IpOptions = {}): Uint8Array {
  const { from = GUEST, to = PEER, payload = new Uint8Array(0), options = new Uint8Array(0) } = fields;
  const segment = new Uint8Array(20 + options.length + payload.length);
  const view = new DataView(segment.buffer);
  const { guestPort: sourcePort, peerPort: destinationPort, seq, ack, flags, window } = fields;
  writeTcp(view, 0, { sourcePort, destinationPort, seq, ack, flags, window }, options.length);
  segment.set(options, 20);
  segment.set(payload, 20 + options.length);
  const pseudo = pseudoSum(ipOf(from)!, ipOf(to)!, protocols.tcp, segment.length);
  view.setUint16(16, checksum(sum(view, 0, segment.length, pseudo)));
  return ipFrame(from, to, protocols.tcp, segment, ip);
}

export function udpFrame(
  ends: { readonly from: string; readonly fromPort: number; readonly to: string; readonly toPort: number },
  payload: Uint8Array,
  ip: IpOptions = {},
): Uint8Array {
  const datagram = new Uint8Array(8 + payload.length);
  datagram.set(payload, 8);
  const { fromPort, toPort } = ends;
  const both = { from: ipOf(ends.from)!, fromPort, to: ipOf(ends.to)!, toPort };
  writeUdp(new DataView(datagram.buffer), 0, both, payload.length);
  return ipFrame(ends.from, ends.to, protocols.udp, datagram, ip);
}

export function icmpFrame(from: string, to: string, message: Uint8Array, ip: IpOptions = {}): Uint8Array {
  const bytes = message.slice();
  const view = new DataView(bytes.buffer);
  view.setUint16(2, 0);
  const isV6 = from.includes(":");
  const protocol = isV6 ? protocols.icmpv6 : protocols.icmp;
  const pseudo = isV6 ? pseudoSum(ipOf(from)!, ipOf(to)!, protocol, bytes.length) : 0;
  view.setUint16(2, checksum(sum(view, 0, bytes.length, pseudo)));
  return ipFrame(from, to, protocol, bytes, ip);
}

export interface ReadPacket {
  readonly header: IpHeader;
  readonly view: DataView;
  readonly from: string;
  readonly to: string;
  readonly data: Uint8Array;
}

/** Null: no IP packet. */
export function readPacket(frame: Uint8Array): ReadPacket | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const isV4 = view.getUint16(12) === etherTypes.ipv4;
  const read = isV4 ? readIpv4 : readIpv6;
  const header = read(view, ETHERNET_BYTES, frame.length, emptyIpHeader());
  if (!header) return null;
  const version = isV4 ? 4 : 6;
  const from = readIp(view, header.source, version).text;
  const to = readIp(view, header.destination, version).text;
  return { header, view, from, to, data: frame.subarray(header.payload, header.end) };
}

export type ReadSegment = Segment & { readonly data: Uint8Array };

/** A TCP segment of the stack; null: something else. A wrong checksum throws: the stack may not make one. */
export function readSegment(frame: Uint8Array): ReadSegment | null {
  const packet = readPacket(frame);
  if (packet?.header.protocol !== protocols.tcp) return null;
  const { view, header } = packet;
  const length = header.end - header.payload;
  const pseudo = pseudoSum(ipOf(packet.from)!, ipOf(packet.to)!, protocols.tcp, length);
  if (!isIntact(sum(view, header.payload, header.end, pseudo))) throw new Error("a wrong TCP checksum");
  const segment = readTcp(view, header.payload, header.end, emptySegment())!;
  return { ...segment, data: frame.subarray(segment.payload, segment.end) };
}

export function readUdpFrame(frame: Uint8Array) {
  const packet = readPacket(frame);
  if (packet?.header.protocol !== protocols.udp) return null;
  const { view, header, from, to } = packet;
  const udp = readUdp(view, header.payload, header.end, ipOf(from)!, ipOf(to)!);
  if (!udp) throw new Error("a wrong UDP datagram");
  return { ...udp, from, to, data: frame.subarray(udp.payload, udp.end) };
}

/** Type, code, the four bytes after the checksum, and the rest. A wrong checksum throws. */
export function readIcmpFrame(frame: Uint8Array) {
  const packet = readPacket(frame);
  const protocol = packet?.header.protocol;
  if (!packet || (protocol !== protocols.icmp && protocol !== protocols.icmpv6)) return null;
  const { view, header, from, to, data } = packet;
  const isV6 = protocol === protocols.icmpv6;
  const pseudo = isV6 ? pseudoSum(ipOf(from)!, ipOf(to)!, protocol, data.length) : 0;
  if (!isIntact(sum(view, header.payload, header.end, pseudo))) throw new Error("a wrong ICMP checksum");
  const [type = 0, code = 0] = data;
  return {
    from,
    to,
    type,
    code,
    ttl: header.ttl,
    rest: view.getUint32(header.payload + 4),
    data: data.subarray(8),
  };
}
