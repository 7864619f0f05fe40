import { decodeWisp, encodeWisp, wispCloseReasons } from "#protocol/wisp.ts";
import type { Outlet } from "./carrier.ts";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "./flow.ts";
import { type Held, type RelayBounds, RelayStream, relayBounds } from "./relay-stream.ts";

const PACKET_BYTES = 16 * 1024;

interface Stream {
  readonly id: number;
  readonly relay: RelayStream;
  credit: number;
  waiting: Uint8Array[];
  /** The dialler has finished; Wisp knows no half-close, so the stream stays until the world ends it. */
  isFinished: boolean;
}

/** Wisp version 1, the client's end: an egress through a relay. A dial that fails arrives as a broken connection. */
export class WispClient implements Egress {
  readonly #outlet: Outlet;
  readonly #bounds: RelayBounds;
  readonly #streams = new Map<number, Stream>();
  readonly #held: Held = { bytes: 0 };
  #next = 1;
  /** Credit of a new stream; 0 until the server has said it. */
  #buffer = 0;
  #isClosed = false;

  constructor(outlet: Outlet, bounds: RelayBounds = relayBounds) {
    this.#outlet = outlet;
    this.#bounds = bounds;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  dial({ host, port }: Destination, sink: FlowSink): Outflow {
    const id = this.#next++;
    const relay = new RelayStream(sink, this.#bounds.streamBytes, this.#held);
    const stream: Stream = { id, relay, credit: this.#buffer, waiting: [], isFinished: false };
    if (!this.#isClosed) {
      this.#streams.set(id, stream);
      this.#outlet.send(encodeWisp.connect(id, "tcp", host, port));
    }
    void Promise.resolve().then(() => {
      if (this.#streams.has(id)) sink.onOpen();
      else if (this.#isClosed) sink.onRefused(refusedBy(wispCloseReasons.networkError));
    });
    return {
      write: (bytes) => {
        for (let at = 0; at < bytes.length; at += PACKET_BYTES)
          stream.waiting.push(bytes.subarray(at, at + PACKET_BYTES));
        this.#drain(stream);
      },
      finish: () => void (stream.isFinished = true),
      abort: () => {
        if (!this.#streams.delete(id)) return;
        relay.drop();
        this.#outlet.send(encodeWisp.close(id, "voluntary"));
      },
      grant: (bytes) => relay.grant(bytes),
    };
  }

  /** A packet that found credit counts as taken: the server has room for it. */
  #drain(stream: Stream): void {
    let taken = 0;
    while (stream.credit > 0 && stream.waiting.length > 0 && this.#streams.has(stream.id)) {
      const packet = stream.waiting.shift()!;
      stream.credit--;
      taken += packet.length;
      this.#outlet.send(encodeWisp.data(stream.id, packet));
    }
    if (taken > 0) void Promise.resolve().then(() => stream.relay.sink.onWritten(taken));
  }

  onMessage(message: Uint8Array | string): void {
    if (typeof message === "string") return;
    const packet = decodeWisp(message);
    if (!packet.ok) return;
    const { value } = packet;
    if (value.type === "continue" && value.stream === 0) return this.#begin(value.packets);
    const stream = this.#streams.get(value.stream);
    if (!stream) return;
    if (value.type === "continue") {
      stream.credit = value.packets;
      this.#drain(stream);
    } else if (value.type === "data") {
      if (!stream.relay.arrive(value.bytes)) this.#cut(stream);
      else if (this.#held.bytes > this.#bounds.totalBytes) this.#cut(this.#slowest(stream));
    } else if (value.type === "close") this.#end(stream, value.reason);
  }

  /** The stream for which most waits. */
  #slowest(first: Stream): Stream {
    let most = first;
    for (const stream of this.#streams.values())
      if (stream.relay.queuedBytes > most.relay.queuedBytes) most = stream;
    return most;
  }

  #cut(stream: Stream): void {
    this.#outlet.send(encodeWisp.close(stream.id, "throttled"));
    this.#end(stream, wispCloseReasons.throttled);
  }

  #begin(packets: number): void {
    this.#buffer = packets;
    for (const stream of this.#streams.values()) {
      stream.credit = packets;
      this.#drain(stream);
    }
  }

  #end(stream: Stream, reason: number): void {
    this.#streams.delete(stream.id);
    if (reason === wispCloseReasons.voluntary) return stream.relay.end();
    stream.relay.drop();
    const isPolicy = reason === wispCloseReasons.blocked || reason === wispCloseReasons.refused;
    if (isPolicy || reason === wispCloseReasons.unreachable) stream.relay.sink.onRefused(refusedBy(reason));
    else stream.relay.sink.onBroken();
  }

  onClosed(): void {
    this.#isClosed = true;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const { relay } of streams) {
      relay.drop();
      relay.sink.onBroken();
    }
  }
}

function refusedBy(reason: number): Refused {
  if (reason === wispCloseReasons.blocked)
    return { refusal: "prohibited", code: "denied-address", sentence: "The relay does not allow it." };
  if (reason === wispCloseReasons.refused)
    return { refusal: "refused", code: "refused", sentence: "The connection was refused." };
  return { refusal: "unreachable", code: "unreachable", sentence: "The relay cannot reach it." };
}
