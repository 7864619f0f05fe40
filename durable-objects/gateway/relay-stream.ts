import type { FlowSink } from "./flow.ts";

/** What came from a relay and was not granted yet; more, and the stream is cut: the relay does not keep to any bound. */
const QUEUE_BYTES = 4 * 2 ** 20;

/** One stream of a relay's socket: holds what arrives until it is asked for. */
export class RelayStream {
  readonly sink: FlowSink;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #granted = 0;
  #isEnded = false;
  #isDelivering = false;

  constructor(sink: FlowSink) {
    this.sink = sink;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** False: too much waits. */
  arrive(bytes: Uint8Array): boolean {
    if (this.#queuedBytes + bytes.length > QUEUE_BYTES) return false;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
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
      this.sink.onBytes(part);
    }
    this.#isDelivering = false;
    if (!this.#isEnded || this.#queue.length > 0) return;
    this.#isEnded = false;
    this.sink.onEnd();
  }
}
