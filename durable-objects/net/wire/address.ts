import { formatIp, parseIp } from "../ip-text.ts";
import type { Address } from "../world.ts";

/** An IP address as four 32-bit words, signed as `getInt32` reads them; IPv4 is in `d` and the others are 0. */
export interface Ip {
  readonly version: 4 | 6;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
  readonly text: Address;
}

export function readIp(view: DataView, at: number, version: 4 | 6): Ip {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, version === 4 ? 4 : 16);
  const text = formatIp(bytes);
  if (version === 4) return { version, a: 0, b: 0, c: 0, d: view.getInt32(at), text };
  return {
    version,
    a: view.getInt32(at),
    b: view.getInt32(at + 4),
    c: view.getInt32(at + 8),
    d: view.getInt32(at + 12),
    text,
  };
}

/** Null: the text is no address. */
export function ipOf(text: Address): Ip | null {
  const bytes = parseIp(text);
  return bytes && readIp(new DataView(bytes.buffer), 0, bytes.length === 4 ? 4 : 6);
}

export function writeIp(view: DataView, at: number, ip: Ip): void {
  if (ip.version === 4) return view.setInt32(at, ip.d);
  view.setInt32(at, ip.a);
  view.setInt32(at + 4, ip.b);
  view.setInt32(at + 8, ip.c);
  return view.setInt32(at + 12, ip.d);
}

export const sameIp = (left: Ip, right: Ip): boolean =>
  left.version === right.version &&
  left.d === right.d &&
  left.c === right.c &&
  left.b === right.b &&
  left.a === right.a;

const words = (ip: Ip): number => (ip.a >>> 0) + (ip.b >>> 0) + (ip.c >>> 0) + (ip.d >>> 0);

/** The pseudo-header of TCP, UDP and ICMPv6 as a sum (RFC 9293 §3.1, RFC 8200 §8.1). */
export const pseudoSum = (from: Ip, to: Ip, protocol: number, length: number): number =>
  words(from) + words(to) + protocol + length;

/** FF00::/8, 224.0.0.0/4 or 255.255.255.255. */
export const isMulticast = (ip: Ip): boolean => (ip.version === 4 ? ip.d >>> 28 >= 14 : ip.a >>> 24 === 0xff);

export const isUnspecified = (ip: Ip): boolean => (ip.a | ip.b | ip.c | ip.d) === 0;
