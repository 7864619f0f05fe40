import { checksum, isIntact, sum } from "./checksum.ts";
import { type Ip, writeIp } from "./address.ts";

/** IPv4 (RFC 791). Options are skipped and never sent. */
export const IPV4_BYTES = 20;

export const protocols = { icmp: 1, tcp: 6, udp: 17, fragment: 44, icmpv6: 58, none: 59 } as const;

/** A header as it was read; one object serves all frames. Offsets are into the view that was read. */
export interface IpHeader {
  version: 4 | 6;
  /** Where the header begins, where its payload does, and where the datagram ends. */
  start: number;
  payload: number;
  end: number;
  protocol: number;
  ttl: number;
  /** Offsets of the addresses. */
  source: number;
  destination: number;
  identification: number;
  /** IPv4 only. */
  dontFragment: boolean;
  moreFragments: boolean;
  /** Bytes. A header with both 0 and false is a whole datagram. */
  fragmentOffset: number;
}

export const emptyIpHeader = (): IpHeader => ({
  version: 4,
  start: 0,
  payload: 0,
  end: 0,
  protocol: 0,
  ttl: 0,
  source: 0,
  destination: 0,
  identification: 0,
  dontFragment: false,
  moreFragments: false,
  fragmentOffset: 0,
});

/** Fills `into`; null: malformed, or the checksum of the header is wrong. */
export function readIpv4(view: DataView, start: number, end: number, into: IpHeader): IpHeader | null {
  if (end - start < IPV4_BYTES) return null;
  const first = view.getUint8(start);
  const headerBytes = (first & 15) * 4;
  const length = view.getUint16(start + 2);
  if (first >> 4 !== 4 || headerBytes < IPV4_BYTES || length < headerBytes || start + length > end)
    return null;
  if (!isIntact(sum(view, start, start + headerBytes))) return null;
  const fragment = view.getUint16(start + 6);
  into.version = 4;
  into.start = start;
  into.payload = start + headerBytes;
  into.end = start + length;
  into.protocol = view.getUint8(start + 9);
  into.ttl = view.getUint8(start + 8);
  into.source = start + 12;
  into.destination = start + 16;
  into.identification = view.getUint16(start + 4);
  into.dontFragment = (fragment & 0x4000) !== 0;
  into.moreFragments = (fragment & 0x2000) !== 0;
  into.fragmentOffset = (fragment & 0x1fff) * 8;
  return into;
}

export interface Ipv4Fields {
  readonly from: Ip;
  readonly to: Ip;
  readonly protocol: number;
  readonly ttl: number;
  /** Of the whole datagram. */
  readonly length: number;
  readonly identification: number;
  /** The field with its flags (§3.1); 0x4000: do not fragment. */
  readonly fragment: number;
}

export function writeIpv4(view: DataView, at: number, fields: Ipv4Fields): void {
  view.setUint16(at, 0x4500);
  view.setUint16(at + 2, fields.length);
  view.setUint16(at + 4, fields.identification);
  view.setUint16(at + 6, fields.fragment);
  view.setUint8(at + 8, fields.ttl);
  view.setUint8(at + 9, fields.protocol);
  view.setUint16(at + 10, 0);
  writeIp(view, at + 12, fields.from);
  writeIp(view, at + 16, fields.to);
  view.setUint16(at + 10, checksum(sum(view, at, at + IPV4_BYTES)));
}
