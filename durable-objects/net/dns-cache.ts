import { type DnsMessage, isPositive, lifetimeSeconds, readDns } from "./dns-message.ts";

export const dnsCacheLimits = {
  entries: 10_000,
  bytes: 4 * 2 ** 20,
  /** Whatever a TTL says. */
  seconds: 300,
  negativeSeconds: 60,
} as const;

interface Cached {
  /** Read again when it is asked for: bytes are a tenth of what a read message takes. */
  readonly bytes: Uint8Array;
  readonly storedAt: number;
  readonly expiresAt: number;
}

/** Answers by question, for as long as they may be kept (RFC 1035 §3.2.1, RFC 2308). What was used last stays longest. */
export class DnsCache {
  /** In order of use, the longest unused first. */
  readonly #entries = new Map<string, Cached>();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The answer as it came, and how old it is. */
  get(key: string, nowMs: number): { message: DnsMessage; ageSeconds: number } | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#drop(key, entry);
    const message = entry.expiresAt > nowMs ? readDns(entry.bytes) : null;
    if (!message) return undefined;
    this.#put(key, entry);
    return { message, ageSeconds: Math.floor((nowMs - entry.storedAt) / 1000) };
  }

  store(key: string, message: DnsMessage, nowMs: number): void {
    const seconds = lifetimeSeconds(message);
    if (!seconds) return;
    const most = isPositive(message) ? dnsCacheLimits.seconds : dnsCacheLimits.negativeSeconds;
    const before = this.#entries.get(key);
    if (before) this.#drop(key, before);
    const expiresAt = nowMs + Math.min(seconds, most) * 1000;
    this.#put(key, { bytes: message.bytes, storedAt: nowMs, expiresAt });
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= dnsCacheLimits.entries && this.#bytes <= dnsCacheLimits.bytes) return;
      this.#drop(oldest, entry);
    }
  }

  #put(key: string, entry: Cached): void {
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes.length;
  }

  #drop(key: string, entry: Cached): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes.length;
  }
}
