import type { RefusalCode } from "#protocol/tunnel-notices.ts";
import type { ProfileLimits } from "./config.ts";
import { type Claim, type Grant, sliceOf } from "./pool.ts";

/** Where a share is empty, it is asked for again after this and not before. */
const PAUSE_MS = 1000;
/** Places are asked for again so long before their end. */
const EXPIRY_MS = 30_000;

/**
 * The borrower's side of a `Pool`: what one tunnel has been lent of what its account or its address may use. Says at once
 * whether a flow may be opened, or that the lender has to be asked first. Pure.
 */
export class Share {
  readonly #holder: string;
  readonly #slice: ReturnType<typeof sliceOf>;
  #flows = 0;
  #places = 0;
  #placesUntilMs = 0;
  #connections = 0;
  #hosts = 0;
  #bytes = 0;
  #attempts = 0;
  #failures = 0;
  #brokenUntilMs = 0;
  #askAgainMs = 0;
  #hostsAskAgainMs = 0;
  /** The lender has said that there are no bytes left. */
  #isDry = false;

  /** `holder` names the tunnel to the lender. */
  constructor(holder: string, limits: ProfileLimits) {
    this.#holder = holder;
    this.#slice = sliceOf(limits);
  }

  get flows(): number {
    return this.#flows;
  }

  /** Undefined: it may, and counts until `closed`. "ask": what was lent is used up. */
  open(isNewHost: boolean, nowMs: number): RefusalCode | "ask" | undefined {
    if (nowMs < this.#brokenUntilMs) return "looks-like-a-scan";
    const lack = this.#lack(isNewHost, nowMs);
    if (lack) {
      const askAgainMs = lack === "too-many-hosts" ? this.#hostsAskAgainMs : this.#askAgainMs;
      return nowMs >= askAgainMs ? "ask" : lack;
    }
    this.#connections--;
    if (isNewHost) this.#hosts--;
    this.#flows++;
    return undefined;
  }

  #lack(isNewHost: boolean, nowMs: number): RefusalCode | undefined {
    const places = nowMs < this.#placesUntilMs ? this.#places : 0;
    if (this.#flows >= places) return "too-many-flows";
    if (this.#bytes <= 0) return "too-many-bytes";
    if (isNewHost && this.#hosts < 1) return "too-many-hosts";
    return this.#connections < 1 ? "too-many-connections" : undefined;
  }

  /** Places of open flows will be void soon. */
  isExpiring(nowMs: number): boolean {
    return this.#flows > 0 && nowMs >= this.#placesUntilMs - EXPIRY_MS;
  }

  closed(): void {
    this.#flows = Math.max(this.#flows - 1, 0);
  }
  dialed(hasFailed: boolean): void {
    this.#attempts++;
    if (hasFailed) this.#failures++;
  }

  /** False: the allowance is used up. While the next slice is on its way, as much as one more may be owed. */
  carried(bytes: number): boolean {
    this.#bytes -= bytes;
    return this.#bytes > 0 || (!this.#isDry && this.#bytes > -this.#slice.bytes);
  }

  /** It is time to ask, though nothing has been refused yet. */
  isLow(nowMs: number): boolean {
    if (nowMs < this.#askAgainMs) return false;
    const { connections, bytes } = this.#slice;
    return this.#connections < connections / 2 || this.#bytes < bytes / 2;
  }

  /** The question for the lender; failures and debts are told once. */
  claim(): Claim {
    const { connections, hosts, bytes } = this.#slice;
    const claim = {
      holder: this.#holder,
      flows: this.#flows,
      wants: {
        connections: this.#connections < connections / 2,
        hosts: this.#hosts < hosts / 2,
        bytes: this.#bytes < bytes / 2,
      },
      owedBytes: Math.max(-this.#bytes, 0),
      attempts: this.#attempts,
      failures: this.#failures,
    };
    this.#attempts = this.#failures = 0;
    this.#bytes = Math.max(this.#bytes, 0);
    return claim;
  }

  onGrant(grant: Grant, nowMs: number): void {
    this.#places = grant.flows;
    this.#placesUntilMs = nowMs + grant.lendMs;
    this.#connections += grant.connections;
    this.#hosts += grant.hosts;
    this.#bytes += grant.bytes;
    this.#isDry = this.#bytes <= 0;
    if (grant.brokenMs > 0) this.#brokenUntilMs = nowMs + grant.brokenMs;
    // What was not given now is not given a moment later.
    const isShort = this.#connections < 1 || this.#bytes <= 0 || this.#places <= this.#flows;
    this.#askAgainMs = isShort ? nowMs + PAUSE_MS : nowMs;
    this.#hostsAskAgainMs = this.#hosts < 1 ? nowMs + PAUSE_MS : nowMs;
  }

  /** The lender cannot be asked: nothing new until it can. */
  onSilence(nowMs: number): void {
    this.#isDry = true;
    this.#askAgainMs = this.#hostsAskAgainMs = nowMs + PAUSE_MS;
  }
}
