/**
 * Guest time: ns since power-on, integers below 2^53. The time-stamp counter is this number: one tick per ns.
 * "Guest time stops when the host is late": pauses, stalls and gaps of the host do not pass for the guest.
 */
export interface GuestClock {
  now(): number;
  /** Stopping twice is stopping once. */
  stop(): void;
  start(): void;
  /** So many ns of host time did not pass for the guest. */
  forget(ns: number): void;
  /** The processor is halted until `untilNs`: true when the clock jumps there by itself, and no waiting is needed. */
  skipTo(untilNs: number): boolean;
}

/** Follows the host's monotonic clock. */
export class HostClock implements GuestClock {
  readonly #hostNs: () => number;
  #offset: number;
  #stoppedAt: number | undefined;
  #last = 0;

  constructor(hostNs: () => number) {
    this.#hostNs = hostNs;
    this.#offset = hostNs();
  }

  /** Never backwards, and never the same twice in a row for a spinning guest: host clocks are coarse. */
  now(): number {
    if (this.#stoppedAt !== undefined) return this.#last;
    const now = Math.floor(this.#hostNs() - this.#offset);
    return (this.#last = now > this.#last ? now : this.#last + 1);
  }

  stop(): void {
    this.now();
    this.#stoppedAt ??= this.#hostNs();
  }

  start(): void {
    if (this.#stoppedAt === undefined) return;
    this.#offset += this.#hostNs() - this.#stoppedAt;
    this.#stoppedAt = undefined;
  }

  forget(ns: number): void {
    if (this.#stoppedAt === undefined) this.#offset += ns;
  }

  skipTo(): boolean {
    return false;
  }
}

/** Deterministic: every instruction takes the same time, and halted time is skipped. */
export class CountedClock implements GuestClock {
  readonly #retired: () => number;
  readonly nsPerInstruction: number;
  #skipped = 0;

  constructor(retired: () => number, nsPerInstruction: number) {
    this.#retired = retired;
    this.nsPerInstruction = nsPerInstruction;
  }

  now(): number {
    return Math.floor(this.#retired() * this.nsPerInstruction) + this.#skipped;
  }

  stop(): void {}
  start(): void {}
  forget(): void {}

  skipTo(untilNs: number): boolean {
    const now = this.now();
    if (untilNs > now && Number.isFinite(untilNs)) this.#skipped += untilNs - now;
    return Number.isFinite(untilNs);
  }
}
