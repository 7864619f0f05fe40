/**
 * Which client of the LAN has which address. A client keeps its address as long as nobody needs it, also after its lease
 * has ended. Bounded by the pool: there are never more entries than addresses.
 */
export interface Lease {
  /** Client id, or hardware address, in hex. */
  readonly client: string;
  /** Hardware address, in hex. */
  readonly mac: string;
  readonly address: number;
  readonly hostName: string | undefined;
  /** False: offered, and forgotten soon. */
  readonly isBound: boolean;
  readonly expiresAt: number;
}

/** An address that somebody on the LAN was seen to use already stays out of the pool for so long. */
const QUARANTINE_MS = 3_600_000;
const OFFER_MS = 60_000;

export class LeaseTable {
  readonly #first: number;
  readonly #count: number;
  readonly #leases = new Map<number, Lease>();
  readonly #declined = new Map<number, number>();

  /** Addresses as numbers: `count` of them from `first` on. `known`: rows of `rows()`, of a table that was here before. */
  constructor(first: number, count: number, known: readonly Lease[] = []) {
    this.#first = first;
    this.#count = count;
    for (const lease of known) if (this.isInPool(lease.address)) this.#leases.set(lease.address, lease);
  }

  /** Everything that was promised to somebody: one row per address at most. */
  rows(): Lease[] {
    return [...this.#leases.values()].filter(({ isBound }) => isBound);
  }

  all(nowMs: number): Lease[] {
    return [...this.#leases.values()].filter((lease) => lease.isBound && lease.expiresAt > nowMs);
  }

  /** The client's lease, even if it has ended. A machine that comes back under another client id keeps its address. */
  of(client: string, mac: string): Lease | undefined {
    const leases = [...this.#leases.values()];
    return leases.find((lease) => lease.client === client) ?? leases.find((lease) => lease.mac === mac);
  }

  at(address: number): Lease | undefined {
    return this.#leases.get(address);
  }

  isInPool(address: number): boolean {
    return address >= this.#first && address < this.#first + this.#count;
  }

  /** Whether this client may have this address. */
  isFree(address: number, client: string, mac: string, nowMs: number): boolean {
    if (!this.isInPool(address) || (this.#declined.get(address) ?? -Infinity) > nowMs) return false;
    const holder = this.#leases.get(address);
    return !holder || holder.client === client || holder.mac === mac || holder.expiresAt <= nowMs;
  }

  /** Its old address, the one it wishes, one that nobody ever had, or the one that has been unused longest. */
  choose(client: string, mac: string, wish: number | undefined, nowMs: number): number | undefined {
    const old = this.of(client, mac)?.address;
    for (const address of [old, wish])
      if (address !== undefined && this.isFree(address, client, mac, nowMs)) return address;
    const free = Array.from({ length: this.#count }, (_, index) => this.#first + index).filter((address) =>
      this.isFree(address, client, mac, nowMs),
    );
    const unusedSince = (address: number) => this.#leases.get(address)?.expiresAt ?? -Infinity;
    return free.sort((a, b) => unusedSince(a) - unusedSince(b) || a - b)[0];
  }

  /** Whoever had the address or the client's other address loses it. */
  #put(lease: Lease): Lease {
    const old = this.of(lease.client, lease.mac);
    if (old) this.#leases.delete(old.address);
    this.#leases.set(lease.address, lease);
    return lease;
  }

  offer(lease: Omit<Lease, "isBound" | "expiresAt">, nowMs: number): Lease {
    const old = this.#leases.get(lease.address);
    // A running lease is not shortened by another DISCOVER of its holder.
    if (old?.client === lease.client && old.isBound && old.expiresAt > nowMs) return old;
    return this.#put({ ...lease, isBound: false, expiresAt: nowMs + OFFER_MS });
  }

  bind(lease: Omit<Lease, "isBound">): Lease {
    return this.#put({ ...lease, isBound: true });
  }

  release(client: string, mac: string, address: number, nowMs: number): void {
    const lease = this.#leases.get(address);
    if (lease && (lease.client === client || lease.mac === mac))
      this.#leases.set(address, { ...lease, expiresAt: Math.min(lease.expiresAt, nowMs) });
  }

  /** The offer is not wanted: the address is as free as before. */
  forgetOffer(client: string, mac: string): void {
    const lease = this.of(client, mac);
    if (lease && !lease.isBound) this.#leases.delete(lease.address);
  }

  decline(client: string, mac: string, address: number, nowMs: number): void {
    const lease = this.#leases.get(address);
    if (!lease || (lease.client !== client && lease.mac !== mac)) return;
    this.#leases.delete(address);
    this.#declined.set(address, nowMs + QUARANTINE_MS);
  }
}
