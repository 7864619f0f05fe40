import { TokenBucket } from "../policy/quota.ts";

/** What goes out at full speed after a pause. */
const BURST_BYTES = 32 * 2 ** 20;

/**
 * For doors whose protocol has no answer on the way down (Wisp, `/tcp`): whether the client reads cannot be known, and the
 * platform's WebSocket takes everything and says nothing of how much still waits. So what such sockets of one session are
 * sent together is bounded by a rate: what a client that never reads makes the platform keep grows no faster. Pure.
 */
export class Unanswered {
  readonly #bucket: TokenBucket | undefined;

  /** 0: no bound. */
  constructor(bytesPerSecond: number) {
    this.#bucket = bytesPerSecond > 0 ? new TokenBucket(bytesPerSecond, BURST_BYTES) : undefined;
  }

  /** Whether so many bytes may be asked of the world now. */
  take(bytes: number, nowMs: number): boolean {
    return this.#bucket?.take(bytes, nowMs) ?? true;
  }
  /** When that is worth asking again. */
  roomAt(bytes: number, nowMs: number): number {
    return nowMs + Math.ceil(this.#bucket?.waitMs(bytes, nowMs) ?? 0);
  }
}
