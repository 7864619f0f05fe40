import { isIntact, sum } from "./checksum.ts";

/** ICMP (RFC 792) and ICMPv6 (RFC 4443): type, code, checksum, and four bytes whose meaning is the type's. */
export const ICMP_BYTES = 8;

export const icmpTypes = { echoReply: 0, unreachable: 3, echo: 8, timeExceeded: 11 } as const;
export const icmpv6Types = {
  unreachable: 1,
  tooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echo: 128,
  echoReply: 129,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
} as const;

export interface Icmp {
  readonly type: number;
  readonly code: number;
  /** The four bytes behind the checksum. */
  readonly rest: number;
  /** Offsets into the view that was read. */
  readonly payload: number;
  readonly end: number;
}

/** `pseudo` is the sum of the pseudo-header for ICMPv6, 0 for ICMP. Null: malformed, or the checksum is wrong. */
export function readIcmp(view: DataView, start: number, end: number, pseudo: number): Icmp | null {
  if (end - start < ICMP_BYTES || !isIntact(sum(view, start, end, pseudo))) return null;
  return {
    type: view.getUint8(start),
    code: view.getUint8(start + 1),
    rest: view.getUint32(start + 4),
    payload: start + ICMP_BYTES,
    end,
  };
}

/** Writes all but the checksum, which needs the payload. */
export function writeIcmp(view: DataView, at: number, type: number, code: number, rest: number): void {
  view.setUint8(at, type);
  view.setUint8(at + 1, code);
  view.setUint16(at + 2, 0);
  view.setUint32(at + 4, rest);
}
