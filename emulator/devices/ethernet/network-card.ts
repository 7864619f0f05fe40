import { MAX_FRAME_BYTES as LINK_FRAME_BYTES } from "../../protocol/frame-ring.ts";
import type { NicCounters } from "../../protocol/machine-messages.ts";

/** What every network card of the board has in common: a wire on one side, the machine's loop on the other. */

/** The wire of a card. Frames are Ethernet without FCS. */
export interface Wire {
  /** False: no room now. The card keeps the frame and stops taking more from its driver. */
  send(frame: Uint8Array): boolean;
  /** The next frame, which belongs to the card; null when there is none. */
  receive(): Uint8Array<ArrayBuffer> | null;
}

/** Since the card was made. `dropped` counts both directions: nobody there to take a frame, or no frame at all. */
export type CardCounters = { -readonly [Name in keyof NicCounters]: number };

export interface NetworkCard {
  readonly counters: CardCounters;
  /** Called between slices of guest code: sends what had to wait, takes what has come and fits. Cheap when there is nothing. */
  poll(): void;
  setCable(connected: boolean): void;
}

/** An Ethernet header alone. */
export const MIN_FRAME_BYTES = 14;
/** What a driver is given at most unless it takes TCP segments uncut: the link's MTU is 1,500. With and without a VLAN tag. */
export const MAX_FRAME_BYTES = 1522;
export const FULL_FRAME_BYTES = 1514;
/** Frames that one `poll` takes; a flood must leave time for the guest. */
export const POLL_FRAMES = 256;

export const newCounters = (): CardCounters => ({
  sentFrames: 0,
  sentBytes: 0,
  receivedFrames: 0,
  receivedBytes: 0,
  dropped: 0,
});

/** Takes frames off a wire that nobody listens to. */
export function drain(wire: Wire, counters: CardCounters): void {
  for (let left = POLL_FRAMES; left > 0 && wire.receive(); left--) counters.dropped++;
}

/**
 * Frames on their way from the driver to the wire. What the wire has no room for waits here, one request at a time, and the
 * card takes no further request until it is gone.
 */
export class Sender {
  readonly #wire: Wire;
  readonly #counters: CardCounters;
  #rest: Iterator<Uint8Array> | undefined;
  #waiting: Uint8Array | undefined;
  connected = true;

  constructor(wire: Wire, counters: CardCounters) {
    this.#wire = wire;
    this.#counters = counters;
  }

  get busy(): boolean {
    return this.#waiting !== undefined;
  }

  /** A frame, or the frames of one request that was cut. Only when not `busy`. */
  send(frames: Iterable<Uint8Array>): void {
    this.#rest = frames[Symbol.iterator]();
    this.#waiting = this.#next();
    this.retry();
  }

  /** Goes on with what waits. */
  retry(): void {
    for (; this.#waiting; this.#waiting = this.#next()) {
      const { length } = this.#waiting;
      if (!this.connected || length < MIN_FRAME_BYTES || length > LINK_FRAME_BYTES) {
        this.#counters.dropped++;
        continue;
      }
      if (!this.#wire.send(this.#waiting)) return;
      this.#counters.sentFrames++;
      this.#counters.sentBytes += length;
    }
  }

  /** The driver has reset the card. */
  forget(): void {
    this.#waiting = this.#rest = undefined;
  }

  #next(): Uint8Array | undefined {
    const step = this.#rest?.next();
    return step?.done === false ? step.value : undefined;
  }
}
