import { decodeWisp, encodeWisp, wispCloseReasons } from "#protocol/wisp.ts";
import type { Outlet } from "./carrier.ts";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "./flow.ts";
import {
  type Held,
  type RelayBounds,
  RelayStream,
  noRelay,
  relayBounds,
  relayIsSilent,
} from "./relay-stream.ts";

const PACKET_BYTES = 16 * 1024;
/** A server's first word is how much credit there is; one that has not said it by then is none. */
const GREETING_MS = 10_000;
/** A server that has said nothing since it was asked for something, or for so long at all, is asked for what it must refuse: */
const ASKED_MS = 10_000;
const QUIET_MS = 60_000;
/** and when that has no answer either, it is taken for gone. */
const ANSWER_MS = 20_000;
/**
 * Wisp has no PING, and a connection that was made has no answer either. But no host may open a connection to the broadcast
 * address (RFC 9293 §3.9.2.3, MUST-46; RFC 919), so that CLOSE comes at once, and nothing of it gets into the world.
 */
const NOWHERE = { host: "255.255.255.255", port: 9 } as const;

interface Stream {
  readonly id: number;
  readonly relay: RelayStream;
  credit: number;
}

/**
 * Wisp version 1, the client's end: an egress through a relay. The protocol has no answer to CONNECT, so a connection counts
 * as open at once; a failed dial arrives later.
 */
export class WispClient implements Egress {
  readonly #outlet: Outlet;
  readonly #bounds: RelayBounds;
  readonly #now: () => number;
  readonly #streams = new Map<number, Stream>();
  readonly #held: Held = { bytes: 0 };
  #next = 1;
  /** Credit of a new stream; 0 until the server has said it. */
  #buffer = 0;
  #isGreeted = false;
  /** When the server last said anything, and the first thing that it was asked since. */
  #heardMs: number;
  #askedMs: number | undefined;
  /** When it was asked for what it must refuse. */
  #probedMs: number | undefined;
  #isSilent = false;
  #isClosed = false;

  constructor(outlet: Outlet, now: () => number, bounds: RelayBounds = relayBounds) {
    this.#outlet = outlet;
    this.#now = now;
    this.#bounds = bounds;
    this.#heardMs = now();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  dial({ host, port }: Destination, sink: FlowSink): Outflow {
    const id = this.#next++;
    const relay = new RelayStream(sink, this.#bounds.streamBytes, this.#held);
    const stream: Stream = { id, relay, credit: this.#buffer };
    if (!this.#isClosed) {
      // While there was nothing to say it was not silent.
      if (this.#streams.size === 0 && this.#isGreeted) this.#heardMs = this.#now();
      this.#askedMs ??= this.#now();
      this.#streams.set(id, stream);
      this.#outlet.send(encodeWisp.connect(id, "tcp", host, port));
    }
    void Promise.resolve().then(() => {
      if (this.#streams.has(id)) sink.onOpen();
      else if (this.#isClosed) sink.onRefused(noRelay);
    });
    return {
      write: (bytes) => {
        // As a host that is gone answers by a reset.
        if (!this.#streams.has(id)) return void Promise.resolve().then(() => sink.onBroken());
        this.#askedMs ??= this.#now();
        relay.waiting.push(bytes);
        return this.#drain(stream);
      },
      // Wisp knows no half-close: the stream stays until the world ends it.
      finish: () => void (relay.isFinished = true),
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
    const { waiting } = stream.relay;
    while (stream.credit > 0 && waiting.length > 0 && this.#streams.has(stream.id)) {
      const packet = waiting.shift(PACKET_BYTES)!;
      stream.credit--;
      taken += packet.length;
      this.#outlet.send(encodeWisp.data(stream.id, packet));
    }
    if (taken > 0) void Promise.resolve().then(() => stream.relay.sink.onWritten(taken));
  }

  onMessage(message: Uint8Array | string): void {
    this.#heardMs = this.#now();
    this.#askedMs = undefined;
    this.#probedMs = undefined;
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

  /** Wanted every second or so while there are streams. */
  onTime(): void {
    if (this.#isClosed || this.#streams.size === 0) return;
    const now = this.#now();
    const isOver = (sinceMs: number | undefined, ms: number) => sinceMs !== undefined && now - sinceMs >= ms;
    if (!this.#isGreeted) {
      if (isOver(this.#heardMs, GREETING_MS)) this.#giveUp();
      return;
    }
    if (isOver(this.#probedMs, ANSWER_MS)) return this.#giveUp();
    if (this.#probedMs !== undefined) return;
    // What waits for credit is a question that has not been answered.
    if (this.#askedMs === undefined && this.#isAnyWaiting) this.#askedMs = this.#heardMs;
    if (!isOver(this.#askedMs, ASKED_MS) && !isOver(this.#heardMs, QUIET_MS)) return;
    this.#probedMs = now;
    this.#outlet.send(encodeWisp.connect(this.#next++, "tcp", NOWHERE.host, NOWHERE.port));
  }

  get #isAnyWaiting(): boolean {
    for (const { relay } of this.#streams.values()) if (relay.waiting.length > 0) return true;
    return false;
  }

  #giveUp(): void {
    this.#isSilent = true;
    this.#outlet.close(1000, "no answer");
    this.onClosed();
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
    this.#isGreeted = true;
    this.#buffer = packets;
    for (const stream of this.#streams.values()) {
      stream.credit = packets;
      this.#drain(stream);
    }
  }

  #end(stream: Stream, reason: number): void {
    this.#streams.delete(stream.id);
    if (reason === wispCloseReasons.voluntary) {
      // What waited for credit is on no way any more.
      const { relay } = stream;
      const lost = relay.waiting.length;
      relay.waiting.clear();
      relay.end();
      if (lost > 0) void Promise.resolve().then(() => relay.sink.onWritten(lost));
      return;
    }
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
      if (this.#isSilent) relay.sink.onRefused(relayIsSilent);
      else relay.sink.onBroken();
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
