/**
 * The internet checksum (RFC 1071). Sums are kept unfolded in 32 bits: a packet of 64 KiB adds at most 2^31. Words are read
 * little endian, which a one's complement sum does not mind (RFC 1071 §2B), and swapped once at the end.
 */

/** The sum of `bytes[from..to)` added to `sum`, words in little-endian order; an odd last byte counts as a low byte. */
export function addBytes(sum: number, view: DataView, from: number, to: number): number {
  let at = from;
  let total = sum;
  for (; at + 8 <= to; at += 8) {
    const a = view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    total += (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
  }
  for (; at + 2 <= to; at += 2) total += view.getUint16(at, true);
  return at < to ? total + view.getUint8(at) : total;
}

/** One 16-bit field, as it stands in a packet. */
export const addWord = (sum: number, value: number): number => sum + (((value & 0xff) << 8) | (value >>> 8));

const swap = (value: number): number => ((value & 0xff) << 8) | (value >>> 8);

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return folded;
}

/** The checksum field for a sum over everything else, in the order of `setUint16(…, false)`. */
export const checksumOf = (sum: number): number => swap(~fold(sum) & 0xffff);

/** Whether a sum over everything, the field included, is that of an undamaged packet. */
export const isIntact = (sum: number): boolean => fold(sum) === 0xffff;
