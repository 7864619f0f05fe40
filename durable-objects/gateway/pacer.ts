/** A PING goes out after so many bytes, if none is under way. */
const ASK_BYTES = 128 * 1024;
/** More than this unconfirmed, and nothing more is read from the world. */
const WINDOW_BYTES = 1024 * 1024;
/** More than this, and frames are dropped. */
const LIMIT_BYTES = 2 * WINDOW_BYTES;
/** A peer that answers no PING for so long while the window is full does not read. */
const PATIENCE_MS = 10_000;

/**
 * What lies unread in a socket, for protocols that know PING but no credit: a WebSocket of the platform takes everything
 * at once and never says how much is still waiting. The peer's PONG confirms all that was sent before its PING.
 */
export class Pacer {
  #sent = 0;
  #confirmed = 0;
  /** What had been sent when the PING under way went out; undefined: none is. */
  #asked: number | undefined;
  #askedAtMs = 0;

  get unconfirmedBytes(): number {
    return this.#sent - this.#confirmed;
  }
  get isRoomy(): boolean {
    return this.unconfirmedBytes < WINDOW_BYTES;
  }
  get isFull(): boolean {
    return this.unconfirmedBytes > LIMIT_BYTES;
  }
  get isAsking(): boolean {
    return this.#asked !== undefined;
  }

  sent(bytes: number): void {
    this.#sent += bytes;
  }

  /** Whether a PING should go out now; it counts as sent. */
  ask(nowMs: number, force = false): boolean {
    if (this.#asked !== undefined) return false;
    if (!force && this.unconfirmedBytes < ASK_BYTES) return false;
    this.#asked = this.#sent;
    this.#askedAtMs = nowMs;
    return true;
  }

  /** The round trip in ms; undefined: nothing was asked. */
  answered(nowMs: number): number | undefined {
    if (this.#asked === undefined) return undefined;
    this.#confirmed = this.#asked;
    this.#asked = undefined;
    return nowMs - this.#askedAtMs;
  }

  /** The peer has not read for too long. */
  isStuck(nowMs: number): boolean {
    return this.#asked !== undefined && !this.isRoomy && nowMs - this.#askedAtMs > PATIENCE_MS;
  }

  pollAt(): number | undefined {
    return this.#asked !== undefined && !this.isRoomy ? this.#askedAtMs + PATIENCE_MS + 1 : undefined;
  }
}
