import type { FlowSink, Refused } from "./flow.ts";

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

/** One stream of a relay's socket: holds what arrives until it is asked for. */
export class RelayStream {
  readonly sink: FlowSink;
  readonly #bytes: number;
  readonly #held: Held;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #granted = 0;
  #isEnded = false;
  #isDelivering = false;

  constructor(sink: FlowSink, bytes: number, held: Held) {
    this.sink = sink;
    this.#bytes = bytes;
    this.#held = held;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** False: too much waits. */
  arrive(bytes: Uint8Array): boolean {
    if (this.#queuedBytes + bytes.length > this.#bytes) return false;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
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
    this.#queue = [];
    this.#held.bytes -= this.#queuedBytes;
    this.#queuedBytes = 0;
    this.#granted = 0;
  }

  /** A sink may grant more from inside `onBytes`: the loop that is running sees it. */
  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    while (this.#queue.length > 0 && this.#granted > 0) {
      const first = this.#queue[0]!;
      const part = first.subarray(0, this.#granted);
      if (part.length === first.length) this.#queue.shift();
      else this.#queue[0] = first.subarray(part.length);
      this.#granted -= part.length;
      this.#queuedBytes -= part.length;
      this.#held.bytes -= part.length;
      this.sink.onBytes(part);
    }
    this.#isDelivering = false;
    if (!this.#isEnded || this.#queue.length > 0) return;
    this.#isEnded = false;
    this.sink.onEnd();
  }
}
