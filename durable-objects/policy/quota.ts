import type { RefusalCode } from "#protocol/tunnel-notices.ts";
import type { ProfileLimits } from "./config.ts";

/** What a bucket holds, and when that was so. */
export interface BucketState {
  readonly tokens: number;
  readonly atMs: number;
}

/** Fills evenly, never above `burst`. Times in milliseconds of any clock that does not go back. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number | undefined;

  /** `state`: as it was left; absent: full. */
  constructor(perSecond: number, burst: number, state?: BucketState) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = Math.min(state?.tokens ?? burst, burst);
    this.#atMs = state?.atMs;
  }

  get state(): BucketState {
    return { tokens: this.#tokens, atMs: this.#atMs ?? 0 };
  }

  #fill(nowMs: number): void {
    const elapsedMs = Math.max(nowMs - (this.#atMs ?? nowMs), 0);
    this.#tokens = Math.min(this.#tokens + elapsedMs * this.#perMs, this.#burst);
    this.#atMs = Math.max(this.#atMs ?? nowMs, nowMs);
  }

  /** Takes them all or none. */
  take(count: number, nowMs: number): boolean {
    this.#fill(nowMs);
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** As many whole ones as there are, at most `count`. */
  takeUpTo(count: number, nowMs: number): number {
    this.#fill(nowMs);
    const taken = Math.max(Math.min(Math.floor(this.#tokens), count), 0);
    this.#tokens -= taken;
    return taken;
  }

  /** Takes what has happened already; the debt is paid off before anything is taken again. */
  charge(count: number, nowMs: number): void {
    this.#fill(nowMs);
    this.#tokens = Math.max(this.#tokens - count, -this.#burst);
  }

  /** 0: now. Infinity: never. */
  waitMs(count: number, nowMs: number): number {
    this.#fill(nowMs);
    if (this.#tokens >= count) return 0;
    return count > this.#burst || this.#perMs === 0 ? Infinity : (count - this.#tokens) / this.#perMs;
  }
}

const MINUTE_MS = 60_000;
/** Of the attempts of a minute so many must be there, and so large a share of them failed, to look like a scan. */
export const SCAN_ATTEMPTS = 20;
export const SCAN_RATIO = 0.8;
const DAY_SECONDS = 86_400;

/** What one session has used: asked before a flow is dialled, told how it went. What several share is in `pool.ts`. */
export class Quota {
  readonly #limits: ProfileLimits;
  readonly #connections: TokenBucket;
  readonly #bytes: TokenBucket;
  /** When each host of the last minute was dialled last, the longest ago first. Bounded by `limits.hosts`. */
  readonly #hosts = new Map<string, number>();
  #flows = 0;
  #attempts = 0;
  #failures = 0;
  #windowAt = 0;
  #brokenUntil = 0;

  constructor(limits: ProfileLimits) {
    this.#limits = limits;
    this.#connections = new TokenBucket(limits.connections, limits.burst);
    this.#bytes = new TokenBucket(limits.bytes / DAY_SECONDS, limits.bytes);
  }

  get flows(): number {
    return this.#flows;
  }

  /** Whether this host was dialled within the last minute. */
  knows(host: string, nowMs: number): boolean {
    this.#age(nowMs);
    return this.#hosts.has(host);
  }

  /** Why a flow to this host may not be opened now. Undefined: it may, and counts as open until `closed`. */
  open(host: string, nowMs: number): RefusalCode | undefined {
    this.#age(nowMs);
    if (nowMs < this.#brokenUntil) return "looks-like-a-scan";
    if (this.#flows >= this.#limits.flows) return "too-many-flows";
    if (this.#bytes.waitMs(1, nowMs) > 0) return "too-many-bytes";
    if (!this.#hosts.has(host) && this.#hosts.size >= this.#limits.hosts) return "too-many-hosts";
    if (!this.#connections.take(1, nowMs)) return "too-many-connections";
    this.#hosts.delete(host);
    this.#hosts.set(host, nowMs);
    this.#flows++;
    return undefined;
  }

  /** What was opened just now is not dialled: others have used up what they share with this session. */
  withdraw(host: string, wasNew: boolean): void {
    this.closed();
    if (wasNew) this.#hosts.delete(host);
  }

  /** The dial ended. A refusal by policy is none. */
  dialed(hasFailed: boolean, nowMs: number): void {
    this.#age(nowMs);
    this.#attempts++;
    if (hasFailed) this.#failures++;
    if (this.#attempts >= SCAN_ATTEMPTS && this.#failures / this.#attempts >= SCAN_RATIO)
      this.#brokenUntil = nowMs + MINUTE_MS;
  }

  closed(): void {
    this.#flows = Math.max(this.#flows - 1, 0);
  }

  /** Payload that went either way. False: the allowance is used up; the host closes the flow. */
  carried(bytes: number, nowMs: number): boolean {
    this.#bytes.charge(bytes, nowMs);
    return this.#bytes.waitMs(1, nowMs) === 0;
  }

  /** When it is worth trying again after this refusal; 0: when a flow has been closed. */
  retryAfterMs(code: RefusalCode, nowMs: number): number {
    const finite = (ms: number) => (Number.isFinite(ms) ? Math.ceil(ms) : 0);
    if (code === "looks-like-a-scan") return Math.max(this.#brokenUntil - nowMs, 0);
    if (code === "too-many-bytes") return finite(this.#bytes.waitMs(1, nowMs));
    if (code === "too-many-connections") return finite(this.#connections.waitMs(1, nowMs));
    if (code !== "too-many-hosts") return 0;
    const [oldest] = this.#hosts.values();
    return oldest === undefined ? 0 : Math.max(oldest + MINUTE_MS - nowMs, 0);
  }

  #age(nowMs: number): void {
    if (nowMs - this.#windowAt >= MINUTE_MS) {
      this.#windowAt = nowMs;
      this.#attempts = this.#failures = 0;
    }
    for (const [host, atMs] of this.#hosts) {
      if (nowMs - atMs < MINUTE_MS) return;
      this.#hosts.delete(host);
    }
  }
}
