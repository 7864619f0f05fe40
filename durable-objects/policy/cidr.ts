import { parseIp } from "../net/ip-text.ts";

/** A range of addresses of one family: the first bits of an address (RFC 4632 §3.1, RFC 4291 §2.3). */
export interface Cidr {
  /** 4 or 16 bytes. */
  readonly prefix: Uint8Array;
  readonly bits: number;
}

/** Reads `10.0.0.0/8`, `2001:db8::/32` or a single address. Null: none of these. Bits behind the prefix must be 0. */
export function parseCidr(text: string): Cidr | null {
  const [address, length, ...rest] = text.split("/");
  const prefix = parseIp(address!);
  if (!prefix || rest.length > 0) return null;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return null;
  const bits = length === undefined ? prefix.length * 8 : Number(length);
  if (bits > prefix.length * 8) return null;
  return prefix.every((byte, index) => (byte & ~maskOf(bits, index)) === 0) ? { prefix, bits } : null;
}

const maskOf = (bits: number, index: number): number =>
  (0xff << (8 - Math.min(Math.max(bits - 8 * index, 0), 8))) & 0xff;

export const isIn = ({ prefix, bits }: Cidr, address: Uint8Array): boolean =>
  prefix.length === address.length &&
  prefix.every((byte, index) => (address[index]! & maskOf(bits, index)) === byte);

/** For tables in this folder, whose every line is right. */
export function cidr(text: string): Cidr {
  const range = parseCidr(text);
  if (!range) throw new RangeError(`${text} is not a range of addresses.`);
  return range;
}
