import type { Packet } from "../wire/ip.ts";
import type { Connection } from "./connection.ts";

/** Connections by the addresses and ports of the guest's segments, found without making a string for each segment. */
export class ConnectionTable {
  readonly #buckets = new Map<number, Connection[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(connection: Connection): void {
    const hash = hashOf(connection.key, 0, connection.key.length, 0x811c9dc5);
    const bucket = this.#buckets.get(hash);
    if (bucket) bucket.push(connection);
    else this.#buckets.set(hash, [connection]);
    this.#size++;
  }

  remove(connection: Connection): void {
    const hash = hashOf(connection.key, 0, connection.key.length, 0x811c9dc5);
    const bucket = this.#buckets.get(hash);
    const at = bucket?.indexOf(connection) ?? -1;
    if (!bucket || at < 0) return;
    bucket.splice(at, 1);
    if (bucket.length === 0) this.#buckets.delete(hash);
    this.#size--;
  }

  /** The connection of a packet that has at least its ports. */
  find({ frame, header, start, family }: Packet): Connection | undefined {
    const from = family === 4 ? header + 12 : header + 8;
    const addresses = family === 4 ? 8 : 32;
    const hash = hashOf(frame, start, 4, hashOf(frame, from, addresses, 0x811c9dc5));
    const bucket = this.#buckets.get(hash);
    return bucket?.find(
      ({ key }) =>
        key.length === addresses + 4 &&
        same(key, 0, frame, from, addresses) &&
        same(key, addresses, frame, start, 4),
    );
  }

  has(key: Uint8Array): boolean {
    const bucket = this.#buckets.get(hashOf(key, 0, key.length, 0x811c9dc5));
    return (
      bucket?.some((other) => other.key.length === key.length && same(other.key, 0, key, 0, key.length)) ??
      false
    );
  }

  /** All of them as they are now: some may be removed while they are walked. */
  all(): Connection[] {
    return [...this.#buckets.values()].flat();
  }
}

/** FNV-1a. Who floods the table with colliding ports has at most `maxFlows` of them. */
function hashOf(bytes: Uint8Array, from: number, count: number, start: number): number {
  let hash = start;
  for (let at = from; at < from + count; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash;
}

function same(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, count: number): boolean {
  for (let at = 0; at < count; at++) if (a[aAt + at] !== b[bAt + at]) return false;
  return true;
}

/** Source, destination, source port, destination port: as in the guest's segments. */
export function keyOf(
  guest: Uint8Array,
  guestPort: number,
  other: Uint8Array,
  otherPort: number,
): Uint8Array {
  const key = new Uint8Array(2 * guest.length + 4);
  key.set(guest);
  key.set(other, guest.length);
  key.set([guestPort >> 8, guestPort & 255, otherPort >> 8, otherPort & 255], 2 * guest.length);
  return key;
}
