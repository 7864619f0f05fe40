import { cidr, isIn } from "./cidr.ts";

/**
 * What an address is for (the IANA registries of special-purpose addresses, RFC 6890). Only `public` ones are reached by
 * default. An IPv6 address that carries an IPv4 address is as private as that one.
 */
export type AddressClass =
  | "public"
  | "loopback"
  | "private"
  | "link-local"
  | "multicast"
  | "documentation"
  | "reserved";

const rows: readonly (readonly [string, AddressClass])[] = [
  ["0.0.0.0/8", "reserved"],
  ["10.0.0.0/8", "private"],
  ["100.64.0.0/10", "private"],
  ["127.0.0.0/8", "loopback"],
  ["169.254.0.0/16", "link-local"],
  ["172.16.0.0/12", "private"],
  ["192.0.0.0/24", "reserved"],
  ["192.0.2.0/24", "documentation"],
  // Relays of 6to4, deprecated (RFC 7526).
  ["192.88.99.0/24", "reserved"],
  ["192.168.0.0/16", "private"],
  ["198.18.0.0/15", "reserved"],
  ["198.51.100.0/24", "documentation"],
  ["203.0.113.0/24", "documentation"],
  ["224.0.0.0/4", "multicast"],
  // With 255.255.255.255.
  ["240.0.0.0/4", "reserved"],
  ["::/128", "reserved"],
  ["::1/128", "loopback"],
  // Discard only (RFC 6666).
  ["100::/64", "reserved"],
  // NAT64 with a prefix of the local network (RFC 8215).
  ["64:ff9b:1::/48", "private"],
  // Protocol assignments, Teredo and ORCHID among them (RFC 2928): nothing that a guest dials.
  ["2001::/23", "reserved"],
  ["2001:db8::/32", "documentation"],
  ["3fff::/20", "documentation"],
  ["5f00::/16", "reserved"],
  ["fc00::/7", "private"],
  ["fe80::/10", "link-local"],
  // Site-local, deprecated (RFC 3879).
  ["fec0::/10", "private"],
  ["ff00::/8", "multicast"],
];
const table = rows.map(([text, kind]) => ({ range: cidr(text), kind }));

/** Where IPv6 carries IPv4, and from which byte on. */
const carriers = (
  [
    // Mapped and compatible (RFC 4291 §2.5.5), translated (RFC 2765 §2.1), NAT64 (RFC 6052), 6to4 (RFC 3056).
    ["::ffff:0:0/96", 12],
    ["::ffff:0:0:0/96", 12],
    ["::/96", 12],
    ["64:ff9b::/96", 12],
    ["2002::/16", 2],
  ] as const
).map(([text, at]) => ({ range: cidr(text), at }));

/** The IPv4 address inside an IPv6 one; undefined: there is none. */
export function carriedIpv4(address: Uint8Array): Uint8Array | undefined {
  const carrier = carriers.find(({ range }) => isIn(range, address));
  return carrier && address.subarray(carrier.at, carrier.at + 4);
}

/** 4 or 16 bytes. */
export function classOf(address: Uint8Array): AddressClass {
  const own = table.find(({ range }) => isIn(range, address))?.kind;
  if (own) return own;
  const inner = carriedIpv4(address);
  if (inner) return classOf(inner);
  // Outside of 2000::/3 nothing is assigned to anybody (RFC 4291 §2.4); what carries IPv4 was judged above.
  const isUnassigned = address.length === 16 && (address[0]! & 0xe0) !== 0x20;
  return isUnassigned ? "reserved" : "public";
}
