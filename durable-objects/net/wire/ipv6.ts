import { type Ip, writeIp } from "./address.ts";
import type { IpHeader } from "./ipv4.ts";

/** IPv6 (RFC 8200). Extension headers are skipped; the fragment header is read; none but it is sent. */
export const IPV6_BYTES = 40;
export const FRAGMENT_BYTES = 8;
/** More are hostile: a chain is read in time that does not grow with the frame. */
const MAX_EXTENSIONS = 8;

const extensions = { hopByHop: 0, routing: 43, fragment: 44, destination: 60 } as const;

/** Fills `into`; null: malformed. Padding behind the payload is cut off. */
export function readIpv6(view: DataView, start: number, end: number, into: IpHeader): IpHeader | null {
  if (end - start < IPV6_BYTES || view.getUint8(start) >> 4 !== 6) return null;
  const length = view.getUint16(start + 4);
  if (start + IPV6_BYTES + length > end) return null;
  into.version = 6;
  into.start = start;
  into.payload = start + IPV6_BYTES;
  into.end = start + IPV6_BYTES + length;
  into.protocol = view.getUint8(start + 6);
  into.ttl = view.getUint8(start + 7);
  into.source = start + 8;
  into.destination = start + 24;
  into.identification = 0;
  into.dontFragment = true;
  into.moreFragments = false;
  into.fragmentOffset = 0;
  return skipExtensions(view, into);
}

function skipExtensions(view: DataView, into: IpHeader): IpHeader | null {
  for (let count = 0; count < MAX_EXTENSIONS; count++) {
    const { protocol, payload } = into;
    const isFragment = protocol === extensions.fragment;
    const isOther =
      protocol === extensions.hopByHop ||
      protocol === extensions.routing ||
      protocol === extensions.destination;
    if (!isFragment && !isOther) return into;
    if (payload + 8 > into.end) return null;
    const bytes = isFragment ? FRAGMENT_BYTES : 8 + view.getUint8(payload + 1) * 8;
    if (payload + bytes > into.end) return null;
    if (isFragment) {
      const field = view.getUint16(payload + 2);
      into.fragmentOffset = field & 0xfff8;
      into.moreFragments = (field & 1) === 1;
      into.identification = view.getUint32(payload + 4);
    }
    into.protocol = view.getUint8(payload);
    into.payload = payload + bytes;
    // What follows the header of a later fragment is a piece of the payload and no header.
    if (into.fragmentOffset > 0) return into;
  }
  return null;
}

export interface Ipv6Fields {
  readonly from: Ip;
  readonly to: Ip;
  readonly protocol: number;
  readonly ttl: number;
  /** Of what follows the header. */
  readonly length: number;
}

export function writeIpv6(view: DataView, at: number, fields: Ipv6Fields): void {
  view.setUint32(at, 0x6000_0000);
  view.setUint16(at + 4, fields.length);
  view.setUint8(at + 6, fields.protocol);
  view.setUint8(at + 7, fields.ttl);
  writeIp(view, at + 8, fields.from);
  writeIp(view, at + 24, fields.to);
}
