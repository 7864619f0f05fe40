/** Names of the reverse trees (RFC 1035 §3.5, RFC 3596 §2.5), and whose reverse names are nobody else's business. */

/** 4 or 16 bytes of the address that a PTR name stands for; null: another name, or only a part of an address. */
export function addressOfPtr(key: string): Uint8Array<ArrayBuffer> | null {
  const labels: string[] = [];
  for (let at = 0; at < key.length && key.charCodeAt(at) !== 0; at += 1 + key.charCodeAt(at))
    labels.push(key.slice(at + 1, at + 1 + key.charCodeAt(at)));
  const tree = labels.slice(-2).join(".");
  const parts = labels.slice(0, -2).reverse();
  if (parts.length === 0) return null;
  if (tree === "in-addr.arpa") return fromOctets(parts);
  return tree === "ip6.arpa" ? fromNibbles(parts) : null;
}

/** A name of the tree above single addresses (10.in-addr.arpa) is judged by its first address. */
function fromOctets(parts: readonly string[]): Uint8Array<ArrayBuffer> | null {
  if (parts.length > 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return null;
  return Uint8Array.from({ length: 4 }, (_, index) => Number(parts[index] ?? 0));
}

function fromNibbles(parts: readonly string[]): Uint8Array<ArrayBuffer> | null {
  if (parts.length > 32 || !parts.every((part) => /^[0-9a-f]$/.test(part))) return null;
  const digits = parts.join("").padEnd(32, "0");
  return Uint8Array.from({ length: 16 }, (_, at) => Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16));
}

/** RFC 6303 §4: zones that are served locally or not at all. First bytes of the address, and how many bits of them count. */
const privateZones: readonly (readonly [readonly number[], number])[] = [
  [[0], 8],
  [[10], 8],
  [[100, 64], 10],
  [[127], 8],
  [[169, 254], 16],
  [[172, 16], 12],
  [[192, 168], 16],
  [[192, 0, 2], 24],
  [[198, 51, 100], 24],
  [[203, 0, 113], 24],
  [[255, 255, 255, 255], 32],
];
const privateZones6: readonly (readonly [readonly number[], number])[] = [
  [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 127],
  [[0xfc], 7],
  [[0xfe, 0x80], 10],
  [[0x20, 0x01, 0x0d, 0xb8], 32],
];

export function isPrivate(address: Uint8Array): boolean {
  return (address.length === 4 ? privateZones : privateZones6).some(([prefix, bits]) =>
    prefix.every((byte, index) => {
      const counted = Math.min(Math.max(bits - 8 * index, 0), 8);
      const mask = (0xff << (8 - counted)) & 0xff;
      return (address[index]! & mask) === (byte & mask);
    }),
  );
}
