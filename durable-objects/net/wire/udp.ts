import { checksum, isIntact, sum } from "./checksum.ts";
import { type Ip, pseudoSum } from "./address.ts";
import { protocols } from "./ipv4.ts";

/** UDP (RFC 768), over IPv6 too (RFC 8200 §8.1: a checksum is not optional there). */
export const UDP_BYTES = 8;

export interface Udp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Offsets into the view that was read. */
  readonly payload: number;
  readonly end: number;
}

/** Null: malformed, or the checksum is wrong. */
export function readUdp(view: DataView, start: number, end: number, from: Ip, to: Ip): Udp | null {
  if (end - start < UDP_BYTES) return null;
  const length = view.getUint16(start + 4);
  if (length < UDP_BYTES || start + length > end) return null;
  const given = view.getUint16(start + 6);
  if (
    given === 0
      ? from.version === 6
      : !isIntact(sum(view, start, start + length, pseudoSum(from, to, protocols.udp, length)))
  )
    return null;
  return {
    sourcePort: view.getUint16(start),
    destinationPort: view.getUint16(start + 2),
    payload: start + UDP_BYTES,
    end: start + length,
  };
}

/** Writes the header before a payload of `length` bytes that is there already. */
export function writeUdp(
  view: DataView,
  at: number,
  ends: { from: Ip; fromPort: number; to: Ip; toPort: number },
  length: number,
): void {
  const total = UDP_BYTES + length;
  view.setUint16(at, ends.fromPort);
  view.setUint16(at + 2, ends.toPort);
  view.setUint16(at + 4, total);
  view.setUint16(at + 6, 0);
  const value = checksum(sum(view, at, at + total, pseudoSum(ends.from, ends.to, protocols.udp, total)));
  // A checksum that comes out as 0 is sent as its other form; 0 says that there is none.
  view.setUint16(at + 6, value === 0 ? 0xffff : value);
}
