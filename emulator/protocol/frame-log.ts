import { frameCost } from "./virga-l2.ts";

/** A run of frames that goes into one message. */
export interface FrameBatch {
  /** Number of the first frame. */
  readonly first: number;
  readonly frames: readonly Uint8Array[];
  /** Counted by `frameCost`. */
  readonly bytes: number;
}

/** Counters of the way out, modulo 2^32: next number, bytes before it, and frames before it that are not acknowledged. */
export interface SentCounters {
  readonly number: number;
  readonly bytes: number;
  readonly underWay: number;
}

const GONE = new Uint8Array(0);
const plus = (a: number, b: number): number => (a + b) >>> 0;

/**
 * The way out of an `L2Session`: frames from the oldest unacknowledged one to the newest waiting one, in one list. In
 * front of `#cursor` are those under way on this socket, behind it those that wait. Bounded by what it was made with: the
 * waiting ones by `push`, those under way by the caller.
 */
export class FrameLog {
  readonly #queueBytes: number;
  #frames: Uint8Array[] = [];
  /** Index of the oldest frame that is kept; what lies before was acknowledged and is cut off now and then. */
  #head = 0;
  #cursor = 0;
  /** Number of the frame at `#head`, and bytes of all frames before it. */
  #number: number;
  #bytes: number;
  /** Frames from `#head` on that some socket has carried: at least those before the cursor. */
  #carried = 0;
  /** Frames before `#head` that a sleeping object sent and no longer has: acknowledged one day, never replayed. */
  #lost: number;
  #underWayBytes = 0;
  #waitingBytes = 0;

  constructor(queueBytes: number, restored: SentCounters = { number: 0, bytes: 0, underWay: 0 }) {
    this.#queueBytes = queueBytes;
    this.#number = restored.number;
    this.#bytes = restored.bytes;
    this.#lost = restored.underWay;
  }

  get underWayBytes(): number {
    return this.#underWayBytes;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get heldBytes(): number {
    return this.#underWayBytes + this.#waitingBytes;
  }

  sent(): SentCounters {
    const under = this.#cursor - this.#head;
    return {
      number: plus(this.#number, under),
      bytes: plus(this.#bytes, this.#underWayBytes),
      underWay: under + this.#lost,
    };
  }

  hasRoom(costBytes: number): boolean {
    return this.#waitingBytes + costBytes <= this.#queueBytes;
  }

  push(frame: Uint8Array): boolean {
    const cost = frameCost(frame);
    if (!this.hasRoom(cost)) return false;
    this.#frames.push(frame);
    this.#waitingBytes += cost;
    return true;
  }

  /** The next frames that fit into so many bytes; `markSent` moves past them. */
  next(maxBytes: number): FrameBatch {
    let bytes = 0;
    let end = this.#cursor;
    while (end < this.#frames.length) {
      const cost = frameCost(this.#frames[end]!);
      if (bytes + cost > maxBytes) break;
      bytes += cost;
      end++;
    }
    const frames = this.#frames.slice(this.#cursor, end);
    return { first: this.sent().number, frames, bytes };
  }

  markSent(batch: FrameBatch): void {
    this.#cursor += batch.frames.length;
    this.#underWayBytes += batch.bytes;
    this.#waitingBytes -= batch.bytes;
    this.#carried = Math.max(this.#carried, this.#cursor - this.#head);
  }

  /** The socket is gone: everything unacknowledged waits to be sent again. */
  rewind(): void {
    this.#cursor = this.#head;
    this.#waitingBytes += this.#underWayBytes;
    this.#underWayBytes = 0;
  }

  /** Whether a peer that expects this number can be served: it was sent, and what follows is still here. */
  canReplayFrom(received: number): boolean {
    const passed = (received - this.#number) | 0;
    return passed >= 0 && passed <= this.#carried;
  }

  /** Forgets what comes before `received`. False: such a number was never reached, or had been passed long before. */
  acknowledge(received: number): boolean {
    const passed = (received - this.#number) | 0;
    if (passed <= 0) {
      const isOld = -passed <= this.#lost;
      if (isOld) this.#lost = -passed;
      return isOld || passed === 0;
    }
    if (passed > this.#carried) return false;
    this.#lost = 0;
    for (let count = 0; count < passed; count++) this.#drop();
    this.#number = plus(this.#number, passed);
    this.#carried -= passed;
    this.#cut();
    return true;
  }

  #drop(): void {
    const cost = frameCost(this.#frames[this.#head]!);
    this.#bytes = plus(this.#bytes, cost);
    if (this.#head < this.#cursor) this.#underWayBytes -= cost;
    else {
      this.#waitingBytes -= cost;
      this.#cursor++;
    }
    this.#frames[this.#head] = GONE;
    this.#head++;
  }

  /** A new session: what any socket has carried is given up, the rest begins at number 0. */
  renumber(): void {
    this.rewind();
    for (let count = 0; count < this.#carried; count++) this.#drop();
    this.#carried = this.#lost = this.#number = this.#bytes = 0;
    this.#cut();
  }

  /** Moving the rest to the front costs as much as the acknowledged part is long, at the earliest. */
  #cut(): void {
    if (this.#head < 256 && this.#head < this.#frames.length) return;
    if (this.#head * 2 < this.#frames.length) return;
    this.#frames.splice(0, this.#head);
    this.#cursor -= this.#head;
    this.#head = 0;
  }
}
