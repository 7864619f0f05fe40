import type { Carrier, FrameCounts, Outlet } from "./carrier.ts";

const MIN_FRAME_BYTES = 14;
const MAX_FRAME_BYTES = 2048;

/**
 * Bare Ethernet frames, one per message, as v86 and websockproxy clients send them. There is no credit and no answer, so
 * the bound on what lies in the socket is the stack's own: a few flows with small buffers (`foreignLan` of l2-guest.ts).
 */
export class RawCarrier implements Carrier {
  readonly isRoomy = true;
  readonly isQuiet = true;
  readonly heldBytes = 0;
  readonly #outlet: Outlet;
  readonly #counts: FrameCounts;

  constructor(outlet: Outlet, counts: FrameCounts) {
    this.#outlet = outlet;
    this.#counts = counts;
  }

  transmit(frame: Uint8Array): void {
    this.#counts.framesOut++;
    this.#counts.bytesOut += frame.length;
    this.#outlet.send(frame);
  }

  /** What is no frame is dropped without a word: these peers know no errors. */
  onMessage(message: Uint8Array | string): readonly Uint8Array[] {
    const isFrame =
      typeof message !== "string" && message.length >= MIN_FRAME_BYTES && message.length <= MAX_FRAME_BYTES;
    if (!isFrame) {
      this.#counts.dropped++;
      return [];
    }
    return [message];
  }

  done(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      this.#counts.framesIn++;
      this.#counts.bytesIn += frame.length;
    }
  }

  flush(): void {}
  pollAt(): undefined {}
}
