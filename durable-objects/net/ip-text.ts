import type { Address } from "./world.ts";

/** Addresses as text and as bytes: dotted decimal, RFC 4291 §2.2 in, RFC 5952 out. No zones, no prefixes. */

/** 4 or 16 bytes; null: not an address. Parts of IPv4 are decimal without leading zeros, so that 010.0.0.1 is none. */
export function parseIp(text: string): Uint8Array<ArrayBuffer> | null {
  if (text.length > 45) return null;
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array<ArrayBuffer> | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  if (!parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return null;
  return Uint8Array.from(parts, Number);
}

/** One side of `::` as bytes. */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (mayEndInIpv4 && index === groups.length - 1 && group.includes(".")) {
      const ipv4 = parseIpv4(group);
      if (!ipv4) return null;
      bytes.push(...ipv4);
    } else if (/^[0-9A-Fa-f]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    } else return null;
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array<ArrayBuffer> | null {
  const sides = text.split("::");
  if (sides.length > 2) return null;
  const isShort = sides.length === 2;
  const front = parseGroups(sides[0]!, !isShort);
  const back = isShort ? parseGroups(sides[1]!, true) : [];
  if (!front || !back) return null;
  const missing = 16 - front.length - back.length;
  // `::` stands for at least one group (RFC 5952 §4.2.2 writes it for two or more, RFC 4291 reads it for one).
  if (isShort ? missing < 2 : missing !== 0) return null;
  const bytes = new Uint8Array(16);
  bytes.set(front);
  bytes.set(back, 16 - back.length);
  return bytes;
}

/** The one way to write an address. Bytes of any other length than 4 and 16 are a bug of the caller. */
export function formatIp(bytes: Uint8Array): Address {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw new RangeError(`An address of ${bytes.length} bytes`);
  // RFC 5952 §5: an address that is known to hold IPv4 shows it.
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join(".")}`;
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!);
  const { at, length } = longestZeros(groups);
  const words = groups.map((group) => group.toString(16));
  if (length < 2) return words.join(":");
  return `${words.slice(0, at).join(":")}::${words.slice(at + length).join(":")}`;
}

/** ::ffff:0:0/96 (RFC 4291 §2.5.5.2). */
export const isMapped = (bytes: Uint8Array): boolean =>
  bytes.length === 16 &&
  bytes.subarray(0, 10).every((byte) => byte === 0) &&
  bytes[10] === 0xff &&
  bytes[11] === 0xff;

/** The first of the longest runs of zero groups (RFC 5952 §4.2.3). */
function longestZeros(groups: readonly number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 };
  let from = 0;
  for (let index = 0; index <= groups.length; index++) {
    if (index < groups.length && groups[index] === 0) continue;
    if (index - from > best.length) best = { at: from, length: index - from };
    from = index + 1;
  }
  return best;
}
