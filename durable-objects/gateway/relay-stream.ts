import type { FlowSink, Refused } from "./flow.ts";
import { PieceQueue } from "./piece-queue.ts";

const no = (sentence: string): Refused => ({ refusal: "unreachable", code: "no-relay", sentence });
export const noRelay = no("The operator's relay does not answer.");
/** For connections that were there when it fell silent. */
export const relayIsSilent = no("The operator's relay has stopped answering.");

/** How much of what came from a relay may wait: neither protocol lets a client hold one stream without the others. */
export interface RelayBounds {
  /** Of one stream. More, and the stream is cut: the relay does not keep to any bound. */
  readonly streamBytes: number;
  /** Of all streams together. More, and the relay's PING is not answered, so that it stops reading; Wisp has no such means. */
  readonly lateBytes: number;
  /** Of all streams together. More, and the stream for which most waits is cut. */
  readonly totalBytes: number;
}
/** For an object, which has 128 MB for everything. A relay of tcp-mux runs at most 1 MiB past `lateBytes`. */
export const relayBounds: RelayBounds = {
  streamBytes: 24 * 2 ** 20,
  lateBytes: 8 * 2 ** 20,
  totalBytes: 32 * 2 ** 20,
};

/** What waits in all streams of one socket. */
export interface Held {
  bytes: number;
}

/** One stream of a relay's socket: holds what arrives until it is asked for, and what is to go until there is room. */
export class RelayStream {
  readonly sink: FlowSink;
  /** On its way to the relay; the dialler bounds it. */
  readonly waiting = new PieceQueue();
  /** The dialler has said that nothing comes after what waits. */
  isFinished = false;
  /** The end of both directions has been said. */
  hasSaidEnd = false;
  hasHeardEnd = false;
  readonly #bytes: number;
  readonly #held: Held;
  readonly #queue = new PieceQueue();
  #granted = 0;
  #isEnded = false;
  #isDelivering = false;

  constructor(sink: FlowSink, bytes: number, held: Held) {
    this.sink = sink;
    this.#bytes = bytes;
    this.#held = held;
  }

  get queuedBytes(): number {
    return this.#queue.length;
  }

  /** False: too much waits. */
  arrive(bytes: Uint8Array): boolean {
    if (this.#queue.length + bytes.length > this.#bytes) return false;
    this.#queue.push(bytes);
    this.#held.bytes += bytes.length;
    this.#deliver();
    return true;
  }
  grant(bytes: number): void {
    this.#granted += bytes;
    this.#deliver();
  }
  end(): void {
    this.#isEnded = true;
    this.#deliver();
  }
  drop(): void {
    this.#held.bytes -= this.#queue.length;
    this.#queue.clear();
    this.waiting.clear();
    this.#granted = 0;
  }

  /** A sink may grant more from inside `onBytes`: the loop that is running sees it. */
  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    while (this.#queue.length > 0 && this.#granted > 0) {
      const part = this.#queue.shift(this.#granted)!;
      this.#granted -= part.length;
      this.#held.bytes -= part.length;
      this.sink.onBytes(part);
    }
    this.#isDelivering = false;
    if (!this.#isEnded || this.#queue.length > 0) return;
    this.#isEnded = false;
    this.sink.onEnd();
  }
}
