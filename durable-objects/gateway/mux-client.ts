import {
  type TcpMuxFrame,
  TcpMuxParser,
  encodeTcpMux,
  tcpMuxCloses,
  tcpMuxErrors,
} from "#protocol/tcp-mux.ts";
import type { Outlet } from "./carrier.ts";
import type { Destination, Egress, FlowSink, Outflow } from "./flow.ts";
import { Pacer } from "./pacer.ts";
import {
  type Held,
  type RelayBounds,
  RelayStream,
  noRelay,
  relayBounds,
  relayIsSilent,
} from "./relay-stream.ts";

const DATA_BYTES = 64 * 1024;
/** The relay's PING has not been answered for so long: the stream for which most waits is cut, before the relay gives all up. */
const LATE_MS = 5000;
/** A relay that has said nothing for so long is asked by PING, and when it says nothing for as long again it is taken for gone. */
const QUIET_MS = 15_000;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly id: number;
}

/**
 * `aero-tcp-mux-v1`, the client's end: an egress through a relay. The protocol has no answer to OPEN, so a connection
 * counts as open at once; a failed dial arrives as a broken connection.
 */
export class MuxClient implements Egress {
  readonly #outlet: Outlet;
  readonly #bounds: RelayBounds;
  readonly #now: () => number;
  readonly #parser = new TcpMuxParser();
  readonly #streams = new Map<number, RelayStream>();
  readonly #pacer = new Pacer();
  readonly #held: Held = { bytes: 0 };
  #next = 1;
  #waiting: Waiting[] = [];
  #pongs: Uint8Array[] = [];
  /** Since when a PING waits for its answer. */
  #lateSinceMs: number | undefined;
  #heardMs: number;
  /** Since when a relay that has been quiet for long is known to have been asked. */
  #askedMs: number | undefined;
  #isSilent = false;
  #isClosed = false;

  constructor(outlet: Outlet, now: () => number, bounds: RelayBounds = relayBounds) {
    this.#outlet = outlet;
    this.#bounds = bounds;
    this.#now = now;
    this.#heardMs = now();
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  dial({ host, port }: Destination, sink: FlowSink): Outflow {
    const id = this.#next++;
    const stream = new RelayStream(sink, this.#bounds.streamBytes, this.#held);
    if (!this.#isClosed) {
      this.#streams.set(id, stream);
      this.#outlet.send(encodeTcpMux.open(id, host, port));
    }
    void Promise.resolve().then(() => {
      if (this.#streams.has(id)) sink.onOpen();
      else if (this.#isClosed) sink.onRefused(noRelay);
    });
    return {
      write: (bytes) => this.#write(id, bytes),
      finish: () => this.#finish(id),
      abort: () => this.#abort(id),
      grant: (bytes) => {
        stream.grant(bytes);
        this.#answer();
      },
    };
  }

  #write(id: number, bytes: Uint8Array): void {
    if (!this.#streams.has(id)) return;
    this.#waiting.push({ id, bytes });
    this.#drain();
  }

  /** Bytes count as taken when they are in the socket, which is kept to a window by PING and PONG. */
  #drain(): void {
    while (this.#waiting.length > 0 && this.#pacer.isRoomy) {
      const { id, bytes } = this.#waiting.shift()!;
      const stream = this.#streams.get(id);
      if (!stream) continue;
      if (bytes.length === 0) {
        this.#outlet.send(encodeTcpMux.close(id, "fin"));
        continue;
      }
      for (let at = 0; at < bytes.length; at += DATA_BYTES)
        this.#outlet.send(encodeTcpMux.data(id, bytes.subarray(at, at + DATA_BYTES)));
      this.#pacer.sent(bytes.length);
      const { length } = bytes;
      void Promise.resolve().then(() => stream.sink.onWritten(length));
    }
    if (this.#pacer.ask(this.#now())) this.#outlet.send(encodeTcpMux.ping(new Uint8Array(4)));
  }

  /** An empty write marks the end, so that it stays behind what was written before it. */
  #finish(id: number): void {
    this.#write(id, new Uint8Array(0));
  }

  #abort(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    this.#streams.delete(id);
    stream.drop();
    this.#outlet.send(encodeTcpMux.close(id, "rst"));
    this.#answer();
  }

  onMessage(message: Uint8Array | string): void {
    this.#heardMs = this.#now();
    this.#askedMs = undefined;
    const { frames, close } = this.#parser.push(message);
    for (const frame of frames) this.#onFrame(frame);
    if (!close) return;
    this.#outlet.close(close.code, close.reason);
    this.onClosed();
  }

  #onFrame(frame: TcpMuxFrame): void {
    const stream = this.#streams.get(frame.stream);
    switch (frame.type) {
      case "data":
        if (stream && !stream.arrive(frame.bytes)) this.#cut(frame.stream, stream);
        return;
      case "close":
        if (stream && frame.rst) this.#break(frame.stream, stream);
        else if (frame.fin) stream?.end();
        return;
      case "error":
        if (stream) this.#fail(frame.stream, stream, frame.code, frame.text);
        return;
      case "ping":
        if (this.#pongs.length < 4) this.#pongs.push(frame.bytes);
        return this.#answer();
      case "pong":
        this.#pacer.answered(this.#now());
        return this.#drain();
      case "open":
      case "malformed":
        return;
      default:
        frame satisfies never;
    }
  }

  /** Wanted every second or so while there are streams. */
  onTime(): void {
    this.#answer();
    const now = this.#now();
    if (this.#isClosed || this.#streams.size === 0 || now - this.#heardMs < QUIET_MS) return;
    if (this.#askedMs === undefined) {
      this.#askedMs = now;
      if (this.#pacer.ask(now, true)) this.#outlet.send(encodeTcpMux.ping(new Uint8Array(4)));
    } else if (now - this.#askedMs >= QUIET_MS) {
      this.#isSilent = true;
      this.#outlet.close(tcpMuxCloses.internal, "the relay does not answer");
      this.onClosed();
    }
  }

  /** PONG when the streams have room: the relay's pace is ours. */
  #answer(): void {
    if (this.#pongs.length === 0) return;
    if (this.#held.bytes > this.#bounds.lateBytes) {
      this.#lateSinceMs ??= this.#now();
      if (this.#now() - this.#lateSinceMs < LATE_MS) return;
      let most: [number, RelayStream] | undefined;
      for (const entry of this.#streams)
        if (entry[1].queuedBytes > (most?.[1].queuedBytes ?? 0)) most = entry;
      if (most) this.#cut(...most);
    }
    this.#lateSinceMs = undefined;
    for (const bytes of this.#pongs.splice(0)) this.#outlet.send(encodeTcpMux.pong(bytes));
  }

  #cut(id: number, stream: RelayStream): void {
    this.#outlet.send(encodeTcpMux.close(id, "rst"));
    this.#break(id, stream);
  }

  #break(id: number, stream: RelayStream): void {
    this.#streams.delete(id);
    stream.drop();
    stream.sink.onBroken();
  }

  #fail(id: number, stream: RelayStream, code: number, text: string): void {
    this.#streams.delete(id);
    stream.drop();
    const isPolicy = code === tcpMuxErrors.POLICY_DENIED;
    stream.sink.onRefused({
      refusal: isPolicy ? "prohibited" : "refused",
      code: isPolicy ? "denied-address" : "refused",
      sentence: `The relay says: ${text}`.slice(0, 256),
    });
  }

  onClosed(): void {
    this.#isClosed = true;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#waiting = [];
    this.#pongs = [];
    for (const stream of streams) {
      stream.drop();
      if (this.#isSilent) stream.sink.onRefused(relayIsSilent);
      else stream.sink.onBroken();
    }
  }
}
